// Imports every module of a folder, and says what is missing.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

let imported = 0;
for (const name of readdirSync(process.argv[2]).filter((n) => n.endsWith(".mjs"))) {
  try {
    const module = await import(pathToFileURL(join(process.argv[2], name)).href);
    if (typeof module.call !== "function") throw new Error("no call");
    imported++;
  } catch (error) {
    console.log(name, String(error));
  }
}
console.log(imported, "imported");
