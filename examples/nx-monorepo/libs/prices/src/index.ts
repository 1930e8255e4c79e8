export { priceOf } from "./lib/prices";
export const release = "1.0.0";
