"""`python -m tests.rooms [PACKAGE …]`: the rooms of a package by numbers, from the code's own imports.

For each folder its modules; then the arrows between folders, the floors that they need, and the circles, between
modules and between folders. An arrow is an import of one by the other; a floor holds what imports only lower floors.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
Arrows = dict[str, set[str]]


def module_names(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name; a package's `__init__` has the package's name."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def module_arrows(package: str) -> Arrows:
    """Which modules of the package each of its modules imports."""
    names = module_names(package)
    return {name: _imported(file, names) - {name} for name, file in names.items()}


def folder_arrows(arrows: Arrows) -> Arrows:
    """The same between folders; a module at the top of the package is a room of its own."""
    rooms: Arrows = {}
    for name, others in arrows.items():
        rooms.setdefault(room_of(name), set()).update(room_of(other) for other in others)
    return {room: others - {room} for room, others in rooms.items()}


def room_of(name: str) -> str:
    """`web.rest` for web.rest.orders, `web.server` for web.server."""
    return ".".join(name.split(".")[:2])


def circles(arrows: Arrows) -> list[list[str]]:
    """Groups that reach one another, each sorted."""
    reached = {name: _reach(name, arrows) for name in arrows}
    groups = {tuple(sorted(n for n in arrows if n in reached[name] and name in reached[n])) for name in arrows}
    return sorted(list(group) for group in groups if group)


def floors(arrows: Arrows) -> int:
    """How many floors a drawing needs in which every arrow points down; members of a circle share one."""
    together = {name: frozenset(group) for group in circles(arrows) for name in group}
    height: dict[str, int] = {}

    def height_of(name: str) -> int:
        if name not in height:
            inside = together.get(name, frozenset((name,)))
            below = {other for member in inside for other in arrows[member] if other not in inside}
            height.update(dict.fromkeys(inside, 1 + max(map(height_of, below), default=0)))
        return height[name]

    return max(map(height_of, arrows), default=0)


def _imported(file: Path, names: Mapping[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    # `from web.rest import orders` names the module web.rest.orders, and not what web/rest/__init__.py has.
    known = found & names.keys()
    return {name for name in known if not any(other.startswith(f"{name}.") for other in known)}


def _reach(name: str, arrows: Arrows) -> set[str]:
    seen: set[str] = set()
    todo = set(arrows[name])
    while todo:
        seen |= todo
        todo = {further for other in todo for further in arrows[other]} - seen
    return seen


def _describe(what: str, arrows: Arrows) -> str:
    count = sum(len(others) for others in arrows.values())
    found = circles(arrows)
    named = "".join(f"\n    circle: {', '.join(group)}" for group in found)
    return f"{what}: {len(arrows)}, arrows {count}, floors {floors(arrows)}, circles {len(found)}{named}"


def main(packages: Iterable[str]) -> int:
    for package in packages:
        arrows = module_arrows(package)
        print(package)
        for room, count in sorted(Counter(room_of(name) for name in arrows).items()):
            print(f"  {room}: {count} module{'s' * (count != 1)}")
        print(f"  {_describe('modules', arrows)}")
        print(f"  {_describe('rooms', folder_arrows(arrows))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ("app", "agents", "tables", "web", "load")))
