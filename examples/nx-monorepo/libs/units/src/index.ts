export { format, type Money } from "./lib/money";
export const release = "1.0.0";
