# Imports every module of a folder, and says what is missing.
import importlib.util
import pathlib
import re
import sys

imported = 0
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    try:
        spec = importlib.util.spec_from_file_location("module", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert callable(module.call)
        operation = re.search(r"return client\.(\w+)\(", file.read_text())
        assert operation is None or callable(getattr(module.client, operation[1]))
        imported += 1
    except Exception as error:
        print(file.name, repr(error))
print(imported, "imported")
