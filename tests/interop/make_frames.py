"""Makes frames for another implementation to check, in the form of frames.json: make_frames.py OUT.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from frames_refused import refused_cases
from frames_taken import taken_cases


def make_file() -> dict[str, Any]:
    cases = taken_cases() + refused_cases()
    names = [case["name"] for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise AssertionError(f"names that occur twice: {doubled}")
    return {"about": "frames of an implementation that was written from the page alone", "cases": cases}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: make_frames.py OUT.json", file=sys.stderr)
        return 2
    made = make_file()
    Path(arguments[0]).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    refused = sum("refused" in case for case in made["cases"])
    print(f"{len(made['cases']) - refused} frames to take, {refused} to refuse")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
