/** An amount in the smallest unit of its currency. */
export interface Money {
  cents: number;
  currency: string;
}

/** Writes an amount as people read it. */
export function format({ cents, currency }: Money): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}

export const release = "1.0.0";
