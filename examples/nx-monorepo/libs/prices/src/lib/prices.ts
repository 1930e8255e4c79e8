import type { Money } from "@example/units";

const CENTS: Record<string, number> = { apple: 40, bread: 320, cheese: 1250 };

/** Looks up what an article costs. */
export function priceOf(article: string): Money {
  return { cents: CENTS[article] ?? 0, currency: "EUR" };
}

export const release = "1.0.0";
