// Finds the program. The order: GENSTORE_BINARY, the package of this platform, PATH.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** The program that was found, by the value of the variable: to search it takes a millisecond. */
const found = new Map();

/**
 * Returns the path of the program, or its name if PATH has to find it.
 * @returns {string}
 */
export function findBinary() {
  const named = process.env.GENSTORE_BINARY ?? "";
  if (!found.has(named)) {
    found.set(named, named || search());
  }
  return found.get(named);
}

function search() {
  try {
    return require.resolve(`@genstore/${process.platform}-${process.arch}/bin/genstore`);
  } catch {
    // npm omits optional packages on request, and other platforms have none.
    return "genstore";
  }
}
