// The pictures of the articles: six shapes, drawn on a square of 120 and varied by colours and a motif. Decoration: the
// article's name is always next to it.

import type { ComponentChildren } from "preact";

export function Art({ sku }: { sku: string }) {
  return (
    <svg class="art" viewBox="0 0 120 120" aria-hidden="true">
      <ellipse class="art-shadow" cx="60" cy="106" rx="36" ry="5" />
      {ART[sku] ?? <Bag paper="#c9a97a" band="#8a6a42" motif={null} />}
    </svg>
  );
}

const BEAN = (
  <g>
    <ellipse cx="60" cy="73" rx="9" ry="12" transform="rotate(28 60 73)" fill="#5b3420" />
    <path d="M65 63c-3 4-1 7-5 10s-3 6-6 10" stroke="#e9d3b0" stroke-width="2" fill="none" stroke-linecap="round" />
  </g>
);
const CUP = (
  <g fill="none" stroke="#5b3420" stroke-width="3" stroke-linecap="round" stroke-linejoin="round">
    <path d="M49 69h18v7a8 8 0 0 1-8 8h-2a8 8 0 0 1-8-8zM67 71h3a4 4 0 0 1 0 8h-4" />
    <path d="M54 63c0-3 2-3 2-6M61 63c0-3 2-3 2-6" stroke-width="2.200" />
  </g>
);
const NEST = (
  <g fill="none" stroke="#e9b44c" stroke-width="3" stroke-linecap="round">
    <path d="M46 74c2-9 26-9 28 0s-24 10-25 1 19-8 20 0-13 6-13 1" />
  </g>
);
const EAR = (
  <g stroke="#b98b3a" stroke-width="2.400" fill="#e9b44c">
    <path d="M52 92V62" fill="none" />
    <ellipse cx="47" cy="68" rx="3" ry="5.500" transform="rotate(-28 47 68)" />
    <ellipse cx="57" cy="68" rx="3" ry="5.500" transform="rotate(28 57 68)" />
    <ellipse cx="47" cy="78" rx="3" ry="5.500" transform="rotate(-28 47 78)" />
    <ellipse cx="57" cy="78" rx="3" ry="5.500" transform="rotate(28 57 78)" />
    <ellipse cx="52" cy="60" rx="3" ry="5.500" />
  </g>
);
const POD = (
  <g>
    <path d="M42 86c-2-14 6-26 20-27 1 14-6 26-20 27z" fill="#6f9a4d" />
    <g fill="#a9c77e">
      <circle cx="48" cy="79" r="3.600" />
      <circle cx="52.500" cy="72" r="3.600" />
      <circle cx="57" cy="65" r="3.600" />
    </g>
  </g>
);
const FIG = (
  <g>
    <path d="M60 60c2 4 11 8 11 16a11 10 0 0 1-22 0c0-8 9-12 11-16z" fill="#6d3a63" />
    <path d="M60 68c1 3 5 5 5 9a5 5 0 0 1-10 0c0-4 4-6 5-9z" fill="#e58f86" />
  </g>
);
const COMB = (
  <g fill="#fbe3a4" stroke="#a66a12" stroke-width="2">
    <path d="M60 60l6 3.500v7l-6 3.500-6-3.500v-7z" />
    <path d="M53.500 72l6 3.500v7l-6 3.500-6-3.500v-7zM66.500 72l6 3.500v7l-6 3.500-6-3.500v-7z" />
  </g>
);

const ART: Record<string, ComponentChildren> = {
  "coffee-beans": <Bag paper="#2f5d50" band="#e9b44c" motif={BEAN} />,
  "ground-coffee": <Bag paper="#b5533c" band="#f0d9b5" motif={CUP} />,
  tagliatelle: <Bag paper="#4f7d95" band="#f4ead6" motif={NEST} />,
  "oat-milk": <Carton front="#f2e6cf" side="#d9c7a3" band="#d98f4e" motif={EAR} />,
  "soy-milk": <Carton front="#e3edda" side="#bfd0ae" band="#5d8a55" motif={POD} />,
  sourdough: <Boule />,
  "rye-bread": <Tin />,
  "olive-oil": <Bottle />,
  "fig-jam": <Jar fill="#8c3f5d" lid="#e7c9b8" motif={FIG} />,
  honey: <Jar fill="#e0992b" lid="#7a4d1d" motif={COMB} />,
  "dark-chocolate": <Bar wrapper="#35564c" square="#4a2c1e" line="#e9b44c" />,
  "milk-chocolate": <Bar wrapper="#c65d3b" square="#8a5a38" line="#fbe9cf" />,
};

function Bag({ paper, band, motif }: { paper: string; band: string; motif: ComponentChildren }) {
  return (
    <g>
      <path d="M35 30h50l5 70q0 6-6 6H36q-6 0-6-6z" fill={paper} />
      <path d="M74 30h11l5 70q0 6-6 6H74z" fill="#000" opacity=".12" />
      <path d="M34 18h52v13H34z" fill={paper} />
      <path d="M34 18h52v5H34z" fill="#fff" opacity=".22" />
      <rect x="33" y="28" width="54" height="6" rx="2" fill={band} />
      <rect x="41" y="50" width="38" height="42" rx="19" fill="#fbf5e8" />
      {motif}
    </g>
  );
}

function Carton({ front, side, band, motif }: { front: string; side: string; band: string; motif: ComponentChildren }) {
  return (
    <g>
      <path d="M34 44h36v62H34z" fill={front} />
      <path d="M70 44l16-6v60l-16 8z" fill={side} />
      <path d="M34 44l8-18h28v18z" fill={front} />
      <path d="M70 26l16 12-16 6z" fill={side} />
      <path d="M42 14h28v12H42z" fill={band} />
      <path d="M70 14l6 4v12l-6-4z" fill={band} opacity=".75" />
      <circle cx="54" cy="35" r="5" fill={band} />
      <path d="M34 96h36v6H34zM70 96l16-7v6l-16 7z" fill={band} />
      {motif}
    </g>
  );
}

function Boule() {
  return (
    <g>
      <path d="M16 82c0-27 20-45 44-45s44 18 44 45c0 15-10 24-44 24S16 97 16 82z" fill="#b9743a" />
      <path d="M22 76c2-22 18-34 38-34s36 12 38 34c-6-13-20-21-38-21s-32 8-38 21z" fill="#d9a25f" />
      <g fill="none" stroke="#f7e3bd" stroke-width="4.500" stroke-linecap="round">
        <path d="M40 54c12 9 16 22 15 38" />
        <path d="M58 49c10 9 15 22 14 38" />
        <path d="M75 52c8 8 11 18 11 30" />
      </g>
      <g fill="#fff6e0" opacity=".8">
        <circle cx="31" cy="74" r="1.600" />
        <circle cx="36" cy="82" r="1.300" />
        <circle cx="66" cy="96" r="1.500" />
        <circle cx="94" cy="84" r="1.500" />
      </g>
    </g>
  );
}

function Tin() {
  return (
    <g>
      <path d="M18 62c0-13 9-19 18-19h46c12 0 20 7 20 19 0 5-2 8-5 10v27q0 7-7 7H30q-7 0-7-7V72c-3-2-5-5-5-10z" fill="#6b4730" />
      <path d="M82 43c12 0 20 7 20 19 0 5-2 8-5 10v27q0 7-7 7h-8q5-2 5-8V72c-3-2-5-5-5-10 0-8 3-15 8-18z" fill="#a97c50" />
      <g fill="none" stroke="#8d6542" stroke-width="4" stroke-linecap="round">
        <path d="M34 54l8 7M48 53l8 7M62 53l8 7" />
      </g>
      <g fill="#d9b88a">
        <ellipse cx="36" cy="80" rx="2" ry="1.200" />
        <ellipse cx="48" cy="90" rx="2" ry="1.200" />
        <ellipse cx="60" cy="78" rx="2" ry="1.200" />
        <ellipse cx="70" cy="92" rx="2" ry="1.200" />
        <ellipse cx="42" cy="69" rx="2" ry="1.200" />
      </g>
    </g>
  );
}

function Bottle() {
  return (
    <g>
      <path d="M53 14h14v22c0 8 13 11 13 25v38q0 7-7 7H47q-7 0-7-7V61c0-14 13-17 13-25z" fill="#48622f" />
      <path d="M64 36c0 8 11 11 11 25v38q0 5-4 7h2q7 0 7-7V61c0-14-13-17-13-25z" fill="#2f4520" />
      <rect x="51" y="10" width="18" height="9" rx="2.500" fill="#c9953a" />
      <rect x="40" y="62" width="40" height="30" fill="#f6ecd2" />
      <g>
        <path d="M48 84c8-2 16-8 22-16" stroke="#6b7f3c" stroke-width="2.200" fill="none" stroke-linecap="round" />
        <ellipse cx="56" cy="74" rx="3.500" ry="5.500" transform="rotate(35 56 74)" fill="#8fa352" />
        <ellipse cx="64" cy="82" rx="4" ry="5.500" fill="#5a6d2d" />
        <ellipse cx="68" cy="72" rx="2.500" ry="5" transform="rotate(60 68 72)" fill="#8fa352" />
      </g>
      <path d="M46 52c1-6 6-9 8-14" stroke="#fff" stroke-width="3" opacity=".35" fill="none" stroke-linecap="round" />
    </g>
  );
}

function Jar({ fill, lid, motif }: { fill: string; lid: string; motif: ComponentChildren }) {
  return (
    <g>
      <path d="M36 34h48c6 4 10 9 10 17v45q0 10-10 10H36q-10 0-10-10V51c0-8 4-13 10-17z" fill={fill} />
      <path d="M84 34c6 4 10 9 10 17v45q0 10-10 10h-6q8-2 8-10V51c0-8-3-13-8-17z" fill="#000" opacity=".14" />
      <rect x="32" y="20" width="56" height="15" rx="4" fill={lid} />
      <path d="M32 30h56" stroke="#000" opacity=".15" stroke-width="3" />
      <rect x="40" y="53" width="40" height="40" rx="6" fill="#fdf7ea" />
      {motif}
      <path d="M33 48c1-4 3-6 5-8" stroke="#fff" stroke-width="3.500" opacity=".5" fill="none" stroke-linecap="round" />
    </g>
  );
}

function Bar({ wrapper, square, line }: { wrapper: string; square: string; line: string }) {
  return (
    <g transform="rotate(-9 60 62)">
      <rect x="36" y="12" width="48" height="40" rx="4" fill={square} />
      <g stroke="#fff" stroke-width="1.500" opacity=".25" fill="none">
        <path d="M52 13v38M68 13v38M37 25h46M37 38h46" />
      </g>
      <path d="M33 44l6-4 6 4 6-4 6 4 6-4 6 4 6-4 6 4 6-4v62q0 6-6 6H39q-6 0-6-6z" fill={wrapper} />
      <rect x="42" y="60" width="36" height="32" rx="3" fill="none" stroke={line} stroke-width="2" />
      <path d="M50 76c0-6 5-9 10-9s10 3 10 9-5 9-10 9-10-3-10-9zM60 67v18" stroke={line} stroke-width="2.200" fill="none" />
      <path d="M33 100h54" stroke={line} stroke-width="3" />
    </g>
  );
}
