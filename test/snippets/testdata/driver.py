# Lets a test make calls with a module, one line of JSON each way.
import importlib.util
import json
import sys

spec = importlib.util.spec_from_file_location("module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for line in sys.stdin:
    ask = json.loads(line)
    try:
        if ask["method"]:
            answer = {"status": module.call(ask["method"], ask["path"]).status_code}
        else:
            answer = {"status": module.call()["ResponseMetadata"]["HTTPStatusCode"]}
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        answer = {"error": code or repr(error)}
    print(json.dumps(answer), flush=True)
