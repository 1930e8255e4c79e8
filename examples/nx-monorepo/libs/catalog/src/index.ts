export { catalog, releases, type Article } from "./lib/catalog";
export const release = "1.0.0";
