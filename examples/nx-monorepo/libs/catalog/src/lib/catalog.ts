import { priceOf, release as prices } from "@example/prices";
import { format, release as units } from "@example/units";

export interface Article {
  name: string;
  price: string;
}

/** Lists all articles, with their prices. */
export function catalog(): Article[] {
  return ["apple", "bread", "cheese"].map((name) => ({ name, price: format(priceOf(name)) }));
}

/** Tells which releases of the libraries answer together. */
export function releases(): string[] {
  return [release, prices, units];
}

export const release = "1.0.0";
