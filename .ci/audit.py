"""Asks for known vulnerabilities of every installed package: `python .ci/audit.py`, with pip-audit installed.

A vulnerability that a newer release mends fails the run: the requirement in setup.cfg is then raised, or, where that
cannot be, its number is written into `ACCEPTED` with the reason. One that no release mends is reported and fails
nothing, as
nothing could be done. Where nobody answers (no network, a mirror that knows of no vulnerabilities) nothing was found
out, which is said, and does not fail either. It takes `SECONDS` at the most.
"""

import json
import subprocess
import sys

SECONDS = 120
ACCEPTED: dict[str, str] = {}  # number of a vulnerability: why it does not concern us
COMMAND = [
    sys.executable,
    "-m",
    "pip_audit",
    "--skip-editable",
    "--progress-spinner=off",
    "--timeout=10",
    "--format=json",
]


def audit():
    """What pip-audit says of each package, a list of dicts; None, and a printed reason, where it says nothing."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return skipped(f"no answer within {SECONDS} s")
    except ValueError:
        return skipped((done.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1])
    if not any("vulns" in package for package in packages):
        return skipped(packages[0]["skip_reason"] if packages else "no package was found")
    return packages


def skipped(reason):
    """Says that there was no audit, and why."""
    print(f"audit skipped, nothing was found out: {reason}")


def main():
    """Prints the report; returns the exit status."""
    packages = audit()
    if packages is None:
        return 0
    status = 0
    for package in packages:
        for found in package.get("vulns", ()):
            fixes = ", ".join(found["fix_versions"])
            what = f"{package['name']} {package['version']}: {found['id']}"
            if found["id"] in ACCEPTED:
                print(f"{what}, accepted: {ACCEPTED[found['id']]}")
            elif fixes:
                print(f"{what}, mended in {fixes}: require it, or say in .ci/audit.py why not")
                status = 1
            else:
                print(f"{what}, mended nowhere yet")
    unknown = [package["name"] for package in packages if "vulns" not in package]
    print(f"{len(packages) - len(unknown)} packages audited, {len(unknown)} of which nothing is known: {unknown}")
    return status


if __name__ == "__main__":
    sys.exit(main())
