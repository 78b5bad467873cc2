"""From the equations of our docstrings, `(11) d_i(t) = sum_k L_k(t) psi_k(t) M_ki`, to MathML.

They are written to be read as they stand; this is only for the pages. The language:

    equation   relation {, relation}             three spaces or more divide as a comma does
    relation   sum {= sum}                       also < > <= >= ~ and <-
    sum        product {+ product}
    product    factor {factor}                   also factor / factor and factor * factor
    factor     name, number, f(x), (x), [x], |x|, <x, y>, x^y, dC/dW
    name       letters, then perhaps ' and _subscript; Greek by name; V- is V before the reset
    cases      condition ? x : y

and words, which stay words. What is not of this language raises `ValueError`.
"""

import re
from typing import NamedTuple

GREEK = dict(
    zip(
        "alpha beta gamma delta eps zeta eta theta lambda mu nu xi pi rho sigma tau phi chi psi omega".split(),
        "αβγδεζηθλμνξπρστφχψω",
    )
) | dict(zip("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(), "ΓΔΘΛΞΠΣΦΨΩ"))
OPERATORS = {"exp", "log", "max", "min", "cos", "sin", "sqrt", "mean", "Re", "Im"}
INDICES = re.compile(r"[a-zA-Z]{1,2}(?<!in)|\d+")  # W_ij has two indices, W_in a name
RELATIONS = {"=": "=", "<-": "←", "~": "∼", "<": "&lt;", ">": "&gt;", "<=": "≤", ">=": "≥"}
CLOSING = {"(": ")", "[": "]", "<": ">", "|": "|"}
FENCES = {"<": "⟨", ">": "⟩"}
THIN, WORD_SPACE, WIDE = (f'<mspace width="{width}em"/>' for width in (0.17, 0.33, 2))

TOKEN = re.compile(
    r"""(?P<space>\s*)(?:
        (?P<derivative>d(?P<of>[A-Z])/d(?=[A-Za-z]))
      | (?P<sum>sum(?=[\s_]))(?:_(?P<over>\w+|\{[^}]*\}))?
      | (?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)
      | (?P<name>[A-Za-z]+\d*(?:(?<=V)-(?=[(\s),;]))?'?(?:_[A-Za-z0-9]+)?)
      | (?P<mark><-|<=|>=|\.\.|[-+*/^=~<>()\[\]|,;?:])
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the text, and how many spaces stand before it."""

    kind: str
    text: str
    spaces: int
    match: re.Match


class Piece(NamedTuple):
    """MathML; what is inside of it if it is in parentheses; and whether it is a word."""

    text: str
    inner: str | None = None
    word: bool = False


def translate(text):
    """`(what is left of the first relation, the relation and what follows)`, MathML without `<math>`.

    >>> translate("tau_m <- x / 2")
    ('<msub><mi>τ</mi><mi>m</mi></msub>', '<mo>←</mo><mfrac><mi>x</mi><mn>2</mn></mfrac>')
    """
    return Parser(re.sub(r"\s+(?=(=|<-|~)\s)", " ", text.strip())).equation()


def tokens(text):
    """The `Token`s of a text."""
    found, place = [], 0
    while place < len(text.rstrip()):
        match = TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"no token at {text[place:]!r} of {text!r}")
        kind = next(kind for kind in ("derivative", "sum", "number", "name", "mark") if match[kind])
        found.append(Token(kind, match[kind], len(match["space"]), match))
        place = match.end()
    return found


def row(*parts):
    """Several pieces as one."""
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def fence(mark, form, inner):
    """A parenthesis, which grows with what is tall inside."""
    tall = "<mfrac" in inner or "<munder" in inner
    return f'<mo form="{form}" stretchy="{"true" if tall else "false"}">{FENCES.get(mark, mark)}</mo>'


def identifier(name):
    """A name with its subscript."""
    base, _, below = name.partition("_")
    base, prime = (base[:-1], "<mo>′</mo>") if base.endswith("'") else (base, "")
    base, minus = (base[:-1], True) if base.endswith("-") else (base, False)
    if (digits := re.fullmatch(r"([A-Za-z])(\d+)", base)) and not below:  # b0
        base, below = digits.groups()
    if below == "hat":
        return f'<mover accent="true"><mi>{GREEK.get(base, base)}</mi><mo>^</mo></mover>'
    if len(base) > 1 and base not in GREEK and below and not INDICES.fullmatch(below):  # context_switch
        return f"<mi>{name}</mi>"
    symbol = letters(base) if base == "dt" else f"<mi>{GREEK.get(base, base)}</mi>"
    if prime:
        symbol = f"<msup>{symbol}{prime}</msup>"
    if minus:
        symbol = f"<msup>{symbol}<mo>−</mo></msup>"
    return f"<msub>{symbol}{subscript(below)}</msub>" if below else symbol


def subscript(text):
    """Indices are letters by themselves, anything else is a name."""
    if text.isdigit():
        return f"<mn>{text}</mn>"
    return letters(text) if INDICES.fullmatch(text) else f"<mi>{GREEK.get(text, text)}</mi>"


def words(text):
    """Words between symbols."""
    return f"{WORD_SPACE}<mtext>{text}</mtext>{WORD_SPACE}"


def letters(text):
    """Letters by themselves, which are slanted where a name is upright."""
    return row(*(f"<mi>{letter}</mi>" for letter in text))


class Parser:
    """Recursive descent, one method a rule of the language; each returns MathML."""

    def __init__(self, text):
        self.text, self.tokens, self.place = text, tokens(text), 0
        self.small = 0  # how deep inside arguments and exponents, where fractions stay on the line
        self.bars = 0  # how many |x| are open

    # What comes next

    def peek(self, ahead=0):
        """The text of a coming token, "" at the end."""
        return self.tokens[self.place + ahead].text if self.place + ahead < len(self.tokens) else ""

    def glued(self):
        """Whether no space stands before the next token."""
        return self.place < len(self.tokens) and self.tokens[self.place].spaces == 0

    def gap(self):
        """Whether the text goes on after three spaces or more."""
        return self.place < len(self.tokens) and self.tokens[self.place].spaces >= 3

    def take(self, expected=None):
        """The next token."""
        if self.place == len(self.tokens) or expected not in (None, self.peek()):
            raise ValueError(f"expected {expected or 'more'}, found {self.peek()!r} in {self.text!r}")
        self.place += 1
        return self.tokens[self.place - 1]

    # The rules

    def equation(self):
        """The whole of it, cut at the first relation."""
        left, right = self.sum(), []
        while self.place < len(self.tokens):
            if self.peek() in (",", ";"):
                mark = self.take().text
                right += [f"<mo>{mark}</mo>", WIDE if self.gap() or mark == ";" else WORD_SPACE]
            elif self.peek() in RELATIONS:
                right += [self.relation_mark(), self.cases()]
                continue
            elif self.gap():
                right.append(WIDE)
            else:
                raise ValueError(f"{self.peek()!r} is one too many in {self.text!r}")
            right.append(self.relation())
        return left, "".join(right)

    def relation_mark(self):
        """=, and its like."""
        return f"<mo>{RELATIONS[self.take().text]}</mo>"

    def relation(self):
        """sum {= sum}"""
        parts = [self.sum()]
        while self.peek() in RELATIONS and not (self.peek() == ">" and self.angle):
            parts += [self.relation_mark(), self.cases()]
        return row(*parts)

    angle = False  # inside <x, y>

    def cases(self):
        """A sum, or `condition ? x : y`."""
        first = self.sum()
        if self.peek() == "?":
            self.take()
            then = self.sum()
            self.take(":")
            return row(then, words("where"), first, "<mo>,</mo>", words("else"), self.sum())
        return first

    def sum(self):
        """product {+ product}, perhaps after a minus."""
        parts = []
        if self.peek() == "-":
            self.take()
            parts.append('<mo form="prefix">−</mo>')
        parts.append(self.product())
        while self.peek() in ("+", "-") and not self.gap():
            parts += ["<mo>+</mo>" if self.take().text == "+" else "<mo>−</mo>", self.product()]
        return row(*parts)

    def product(self):
        """factor {factor}, from left to right."""
        last = self.factor()
        parts = [last.text]
        while True:
            if self.peek() == "/":
                self.take()
                above, below = last if len(parts) == 1 else Piece(row(*parts)), self.factor()
                if self.small:
                    parts += ["<mo>/</mo>", below.text]
                else:
                    parts = [f"<mfrac>{above.inner or above.text}{below.inner or below.text}</mfrac>"]
                last = Piece(row(*parts))
            elif self.peek() == "*":
                self.take()
                last = self.factor()
                parts += ["<mo>·</mo>", last.text]
            elif self.begins_a_factor():
                before, last = last, self.factor()
                parts += [WORD_SPACE if before.word or last.word else THIN, last.text]
            else:
                return row(*parts)

    def begins_a_factor(self):
        """Whether what comes next is one more factor of a product."""
        if self.place == len(self.tokens) or self.gap():
            return False
        token = self.tokens[self.place]
        if token.kind != "mark":
            return True
        return token.text in ("(", "[") or (token.text == "|" and not self.bars)

    def factor(self):
        """An atom, perhaps with an exponent."""
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        self.small += 1
        above = Piece("<mo>⊤</mo>") if self.peek() == "T" and self.take() else self.atom()
        self.small -= 1
        return Piece(f"<msup>{base.text}{above.inner or above.text}</msup>")

    def atom(self):
        """A name, a number, a call, or something in parentheses."""
        token = self.take()
        if token.kind == "derivative":
            return self.derivative(token)
        if token.kind == "sum":
            return self.big_sum(token.match["over"])
        if token.kind == "number":
            if token.text == "1" and self.peek() == "[" and self.glued():  # 1 where the condition holds, else 0
                return Piece(f"<mrow><mn>𝟏</mn>{self.enclosed(self.take().text).text}</mrow>")
            return Piece(f"<mn>{token.text}</mn>")
        if token.kind == "name":
            return self.name(token)
        if token.text in CLOSING:
            return self.enclosed(token.text)
        raise ValueError(f"{token.text!r} begins nothing in {self.text!r}")

    def name(self, token):
        """A name, a call `f(x)`, or a word."""
        name = identifier(token.text)
        if self.peek() == "(" and self.glued():
            self.small += 1
            arguments = self.enclosed(self.take().text)
            self.small -= 1
            return Piece(f"<mrow>{name}<mo>&#x2061;</mo>{arguments.text}</mrow>")
        plain = token.text.isalpha() and token.text not in GREEK and token.text not in OPERATORS | {"dt"}
        return Piece(name, word=plain and len(token.text) > 1)

    def derivative(self, token):
        """dC/dW_ij, dC/dx(t)."""
        by = self.atom().text
        return Piece(f"<mfrac><mrow><mo>∂</mo><mi>{token.match['of']}</mi></mrow><mrow><mo>∂</mo>{by}</mrow></mfrac>")

    @staticmethod
    def big_sum(over):
        """sum_t, sum_{t = 1..T}."""
        if over is None:
            return Piece("<mo>∑</mo>")
        if not over.startswith("{"):
            return Piece(f"<munder><mo>∑</mo>{subscript(over)}</munder>")
        first, _, last = over[1:-1].partition("..")
        left, right = translate(first)
        below = f"<mrow>{left}{right}</mrow>"
        if not last:
            return Piece(f"<munder><mo>∑</mo>{below}</munder>")
        return Piece(f"<munderover><mo>∑</mo>{below}{translate(last)[0]}</munderover>")

    def enclosed(self, mark):
        """What stands between a parenthesis and its partner."""
        self.bars += mark == "|"
        self.angle, before = mark == "<", self.angle
        parts = [self.relation()]
        while self.peek() == ",":
            self.take()
            parts += ["<mo>,</mo>", self.relation()]
        self.angle = before
        self.bars -= mark == "|"
        closing = self.take(CLOSING[mark]).text
        inner = row(*parts)
        return Piece(
            f"<mrow>{fence(mark, 'prefix', inner)}{inner}{fence(closing, 'postfix', inner)}</mrow>",
            inner if mark == "(" else None,
        )
