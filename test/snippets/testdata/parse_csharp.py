"""Parses every file of a folder as C#; prints what is wrong, or how many there were."""

import pathlib
import sys

import tree_sitter
import tree_sitter_c_sharp

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c_sharp.language()))


def mistakes(node):
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from mistakes(child)


files = sorted(pathlib.Path(sys.argv[1]).iterdir())
wrong = 0
for file in files:
    text = file.read_bytes()
    for node in mistakes(parser.parse(text).root_node):
        wrong += 1
        row, column = node.start_point
        print(f"{file.name}:{row + 1}:{column + 1}: {text.splitlines()[row].decode()}")
if wrong:
    sys.exit(1)
print(len(files), "parsed")
