// Line icons, drawn on a grid of 24. All are decoration: the text next to them has the same meaning.

import type { ComponentChildren } from "preact";

const PATHS = {
  shop: "M4 10v9h16v-9M3 10l2-6h14l2 6M3 10a3 3 0 0 0 6 0 3 3 0 0 0 6 0 3 3 0 0 0 6 0M10 19v-5h4v5",
  orders: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
  basket: "M4 10h16l-1.5 9h-13zM8 10l3-6M16 10l-3-6M9 14v2M12 14v2M15 14v2",
  tools: "M14.5 6.5a4 4 0 0 1 5-1l-2.6 2.6.6 2 2 .5L22 8a4 4 0 0 1-5.5 4.6L8.6 20.500a2 2 0 0 1-3-3l8-7.900a4 4 0 0 1 .9-3.100z",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  check: "M5 12.500l4.500 4.500L19 7.500",
  cross: "M6.500 6.500l11 11M17.500 6.500l-11 11",
  again: "M19 12a7 7 0 1 1-2.300-5.200M19 4v4h-4",
  alert: "M12 7v6M12 16.500v.5",
  undo: "M9 14l-4.500-4.500L9 5M4.500 9.500H14a5 5 0 0 1 0 10h-3",
  swap: "M4 8h13l-3-3M20 16H7l3 3",
  mail: "M3 6h18v12H3zM3 7l9 7 9-7",
  arrow: "M5 12h14M13 6l6 6-6 6",
  refresh: "M20 12a8 8 0 1 1-2.600-5.900M20 4v4.500h-4.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Text for screen readers only. */
export function Hidden({ children }: { children: ComponentChildren }) {
  return <span class="hidden">{children}</span>;
}

/** The logo: a weir with its water. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path class="mark-gate" d="M8 7v10M13.300 7v10M18.700 7v10M24 7v10" />
      <path class="mark-water" d="M5 21.500c2.750 0 2.750 2 5.500 2s2.750-2 5.500-2 2.750 2 5.500 2 2.750-2 5.500-2" />
    </svg>
  );
}
