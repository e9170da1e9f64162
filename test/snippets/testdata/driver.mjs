// Lets a test make calls with a module, one line of JSON each way. The test also
// moves the clock: this program's must go with that of the sandbox.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

let ahead = 0; // milliseconds
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + ahead);
    else super(...parts);
  }
  static now() {
    return RealDate.now() + ahead;
  }
};

const module = await import(pathToFileURL(process.argv[2]).href);
for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  let answer;
  try {
    if (ask.ahead) {
      ahead = ask.ahead;
      answer = { status: 0 };
    } else {
      const response = await (ask.method ? module.call(ask.method, ask.path) : module.call());
      answer = { status: response.status ?? response.$metadata.httpStatusCode };
    }
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
