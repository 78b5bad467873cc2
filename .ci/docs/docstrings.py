"""From our docstrings to Markdown that pdoc can show: equations, sections, lists."""

import html
import re
import textwrap

from equations import GREEK, translate

LISTS = ("Args", "Call arguments", "Attributes", "Raises")  # sections of `name: description`
SECTIONS = (*LISTS, "Returns", "Example", "Source", "Sources", "Reference", "References")
HEAD = re.compile(rf"^({'|'.join(SECTIONS)}):(?: +(.*))?$")
NUMBER = re.compile(r"\((\d+)\)\s+")
# Symbols between the words: W_rec, e_ij(t), psi(t-1). What is between backticks stays code.
GREEKS = "|".join(GREEK)
SYMBOL = re.compile(
    rf"(`+[^`]*`+)|(?<![\w'\"=.-])((?:d[A-Z]/d)?(?:[A-Za-z]|{GREEKS})_(?:\w\w?|rec|out|reset|ref|bptt)(?:\(t(?:[-+]1)?\))?|"
    rf"(?:d[A-Z]/d)?(?:[A-Za-z]|{GREEKS})\(t(?:[-+]1)?\))(?!['\"=.]?\w|\()"
)
RELATION = re.compile(r"\s(?:=|<-|~)\s")


def markdown(docstring):
    """The docstring for the page, and the numbered equations of it that could not be translated."""
    failed = []
    parts = [section(head, lines) if head else text(lines, failed) for head, lines in sections(docstring)]
    return "\n".join(parts), failed


def sections(docstring):
    """`(head, lines)`, the head None for text that belongs to no section.

    What is indented below a head belongs to it; so does what follows `Example:` and `Source:` up to the next head or,
    of a source, the end of the paragraph.
    """
    found, head, body = [], None, []

    def close(new=None):
        nonlocal head, body
        if head or body:
            found.append((head, body))
        head, body = new, []

    for line in docstring.splitlines():
        if match := HEAD.match(line):
            close(match[1])
            body += [match[2]] if match[2] else []
        else:
            indented = not line.strip() or line[0] == " "
            if head not in (None, "Example") and not indented and not (head[0] in "SR" and body and body[-1].strip()):
                close()
            body.append(line)
    close()
    return found


def symbols(text):
    """Text with its symbols in MathML."""
    return SYMBOL.sub(lambda match: match[1] or f"<math>{translate(match[2])[0]}</math>", text)


def section(head, lines):
    """A section under a small heading, a list where it is one."""
    body = textwrap.dedent("\n".join(lines)).strip("\n")
    if head[0] in "SR" and head not in ("Returns", "Raises"):
        return f"\n**{head}:** {body}\n"
    if head == "Returns":
        body = symbols(body)
    if head in LISTS:
        body = "\n".join(item(each) for each in re.split(r"\n(?=\S)", body))
    return f'\n<h6 class="section">{head}</h6>\n\n{body}\n'


def item(text):
    """`x, y: a batch` as an entry of a list."""
    names, colon, description = text.partition(":")
    if not colon:
        return f"- {symbols(text)}"
    names = ", ".join(f"`{name.strip()}`" for name in names.split(","))
    return f"- {names}: {symbols(' '.join(description.split()))}"


def text(lines, failed):
    """Paragraphs, and between them what is indented."""
    blocks = re.split(r"\n\n+(?=\S)|\n\n+(?= )", "\n".join(lines))
    return (
        "\n\n".join(block_of(block, failed) if block.startswith("    ") else symbols(block) for block in blocks) + "\n"
    )


def block_of(block, failed):
    """What an indented block is: equations, a list of (a), (b), (c), two columns, or left as it is."""
    lines = textwrap.dedent(block).splitlines()
    if any(RELATION.search(line) for line in lines) and not any(line.startswith((">>>", "...")) for line in lines):
        return equations(lines, failed)
    if lines[0].startswith("(a)"):
        entries = re.split(r"\n(?=\()", "\n".join(lines))
        return "\n".join("- " + " ".join(entry.split()) for entry in entries)
    if all(re.match(r"\S+(?: \S+)* {2,}\S", line) for line in lines):
        cells = (
            "".join(f"<td>{html.escape(cell)}</td>" for cell in re.split(r" {2,}", line, maxsplit=1)) for line in lines
        )
        return f'<table class="columns">{"".join(f"<tr>{row}</tr>" for row in cells)}</table>'
    return block


def equations(lines, failed):
    """A table of equations, aligned at their first relation; words between them stay words."""
    return f'<table class="equations">{"".join(equation(line.strip(), failed) for line in lines)}</table>'


def equation(line, failed):
    """A row of the table."""
    match = NUMBER.match(line)
    number, body = (f"({match[1]})", line[match.end() :]) if match else ("", line)
    if not number and not RELATION.search(body):
        return f'<tr><td></td><td colspan="2" class="words">{html.escape(body)}</td></tr>'
    try:
        left, right = (f'<math displaystyle="true">{part}</math>' for part in translate(body))
    except ValueError:
        failed += [line] if number else []
        return f'<tr><td class="number">{number}</td><td colspan="2"><pre>{html.escape(body)}</pre></td></tr>'
    title = html.escape(" ".join(body.split()), quote=True)
    return (
        f'<tr title="{title}"><td class="number">{number}</td>'
        f'<td class="left">{left}</td><td class="right">{right}</td></tr>'
    )
