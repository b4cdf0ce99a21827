// The picture in the shop's banner: a mill at a weir, between hills, drawn in layers whose colours follow the theme.

export function Scene() {
  return (
    <svg class="scene" viewBox="-560 -60 1200 400" preserveAspectRatio="xMaxYMax slice" aria-hidden="true">
      <rect class="scene-sky" x="-560" y="-60" width="1200" height="400" />
      <circle class="scene-sun" cx="490" cy="66" r="42" />
      <path class="scene-far" d="M-560 238c120-30 210-34 300-10s180-6 260-38 130-70 205-38 120 16 185-18 160-40 250 26v180h-1200z" />
      <path class="scene-mid" d="M-560 262c150-22 280-18 380-8s120-14 180-32c90-40 150-36 230-10s150 14 220-14 130-22 190 8v134h-1200z" />
      <g class="scene-trees">
        <path d="M106 226l16-44 16 44zM134 228l20-58 20 58zM168 230l14-40 14 40zM548 222l16-46 16 46zM576 224l18-56 18 56z" />
      </g>
      <Mill />
      <path class="scene-bank" d="M-560 280c200-6 400 0 560-24 120-18 230-20 330-8s210 10 310-6v98h-1200z" />
      <path class="scene-water" d="M-560 304c200 2 400-2 560-22 110-16 220-18 330-8s210 8 310-6v72h-1200z" />
      <g class="scene-gate">
        <path d="M396 250v34M424 250v34M452 250v34M480 250v34M508 250v34" />
        <path class="scene-rail" d="M386 256h134" />
      </g>
      <g class="scene-fall">
        <path d="M403 276v26M417 276v30M431 276v27M445 276v30M459 276v26M473 276v30M487 276v26M501 276v28" />
      </g>
      <g class="scene-ripples">
        <path d="M-470 322c14 0 14 5 28 5s14-5 28-5 14 5 28 5" />
        <path d="M-230 318c14 0 14 5 28 5s14-5 28-5 14 5 28 5" />
        <path d="M40 304c14 0 14 5 28 5s14-5 28-5 14 5 28 5" />
        <path d="M190 320c14 0 14 5 28 5s14-5 28-5 14 5 28 5 14-5 28-5" />
        <path d="M390 318c14 0 14 5 28 5s14-5 28-5 14 5 28 5 14-5 28-5" />
        <path d="M250 296c10 0 10 4 20 4s10-4 20-4" />
        <path d="M540 304c12 0 12 4 24 4s12-4 24-4 12 4 24 4" />
      </g>
    </svg>
  );
}

function Mill() {
  return (
    <g>
      <path class="mill-wall" d="M270 166h92v92h-92z" />
      <path class="mill-shade" d="M330 166h32v92h-32z" />
      <path class="mill-roof" d="M258 170l58-54 58 54z" />
      <path class="mill-roof" d="M342 118h12v28h-12z" />
      <g class="mill-window">
        <path d="M288 184h18v22h-18zM318 184h18v22h-18zM306 146h20v16h-20z" />
      </g>
      <path class="mill-door" d="M290 222h22v36h-22z" />
      <g class="mill-wheel">
        <circle cx="372" cy="240" r="34" />
        <circle cx="372" cy="240" r="22" />
        <path d="M372 206v68M338 240h68M348 216l48 48M396 216l-48 48" />
        <circle class="mill-hub" cx="372" cy="240" r="5" />
      </g>
    </g>
  );
}
