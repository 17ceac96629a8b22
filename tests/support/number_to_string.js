/* Reads doubles (8 bytes, little-endian) from stdin and prints String(x) of each on a line: the reference for the number writer. */
'use strict';
const fs = require('fs');
let rest = Buffer.alloc(0);
const chunk = Buffer.alloc(1 << 16);
for (;;) {
    let size;
    try {
        size = fs.readSync(0, chunk, 0, chunk.length, null);
    } catch (e) {
        if (e.code === 'EAGAIN') continue;
        if (e.code === 'EOF') break;
        throw e;
    }
    if (size === 0) break;
    const all = Buffer.concat([rest, chunk.subarray(0, size)]);
    const whole = all.length - (all.length % 8);
    const lines = [];
    for (let i = 0; i < whole; i += 8) lines.push(String(all.readDoubleLE(i)));
    rest = all.subarray(whole);
    if (lines.length === 0) continue;
    const out = Buffer.from(lines.join('\n') + '\n');
    for (let at = 0; at < out.length;) {
        try {
            at += fs.writeSync(1, out, at);
        } catch (e) {
            if (e.code !== 'EAGAIN') throw e;
        }
    }
}
