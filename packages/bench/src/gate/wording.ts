/** Numbers as reasons say them. */

/** A change: "+4.9 %". */
export function change(ratio: number): string {
  const percent = 100 * (ratio - 1);
  const digits = Math.abs(percent).toFixed(1);
  return `${percent < 0 && digits !== "0.0" ? "−" : "+"}${digits} %`;
}

/** A share: "2.5 %". */
export function share(value: number): string {
  return `${Number((100 * value).toFixed(1))} %`;
}

/** An interval of ratios: "−0.4 % to +0.9 %". */
export function interval({ low, high }: { readonly low: number; readonly high: number }): string {
  return `${change(low)} to ${change(high)}`;
}

/** A p-value: "p = 0.0031". */
export function pValue(p: number): string {
  return p < 1e-4 ? "p < 0.0001" : `p = ${Number(p.toPrecision(2))}`;
}
