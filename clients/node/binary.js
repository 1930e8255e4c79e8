// Finds the program. The order: GENSTORE_BINARY, the package of this platform, PATH.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/**
 * Returns the path of the program, or its name if PATH has to find it.
 * @returns {string}
 */
export function findBinary() {
  if (process.env.GENSTORE_BINARY) {
    return process.env.GENSTORE_BINARY;
  }
  try {
    return require.resolve(`@genstore/${process.platform}-${process.arch}/bin/genstore`);
  } catch {
    // npm omits optional packages on request, and other platforms have none.
    return "genstore";
  }
}
