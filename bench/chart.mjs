// A picture of a report: a bar for each row, as long as its ratio to Node's `net`, and a mark where it should reach.

const [LEFT, WIDTH, HEIGHT, MOST] = [330, 420, 22, 4];

const text = (value) => String(value).replace(/[<&]/g, (c) => (c === '<' ? '&lt;' : '&amp;'));

/** The SVG of a report of rounds.mjs. Ratios beyond 4 are cut. */
export function chart({ node, cpus, kernel, rows: all }) {
  const rows = all.filter(({ ratio }) => ratio !== undefined);
  const x = (ratio) => LEFT + (Math.min(ratio, MOST) / MOST) * WIDTH;
  const lines = rows.map(({ title, ratio, bar }, at) => {
    const y = 40 + at * HEIGHT;
    const colour = bar === undefined ? '#8aa' : ratio >= bar ? '#5a5' : '#c75';
    const mark = bar === undefined ? '' : `<path d="M${x(bar)} ${y - 2}v${HEIGHT - 4}" stroke="#000"/>`;
    return (
      `<text x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${text(title.trim())}</text>` +
      `<rect x="${LEFT}" y="${y}" width="${x(ratio) - LEFT}" height="${HEIGHT - 8}" fill="${colour}"/>${mark}` +
      `<text x="${x(ratio) + 6}" y="${y + 12}">${ratio.toFixed(2)}</text>`
    );
  });
  const height = 56 + rows.length * HEIGHT;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 60}" height="${height}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="8" y="20">usernet to Node's net = 1; ${text(`Node ${node}, ${cpus} CPUs, Linux ${kernel}`)}</text>` +
    `<path d="M${x(1)} 30v${height - 40}" stroke="#999" stroke-dasharray="3"/>${lines.join('')}</svg>\n`
  );
}
