//! The merging of neighbours that byte-pair encoding and SentencePiece share: always the best pair, and of equal
//! ones the leftmost, until no pair is known.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A piece of the text: its symbol and its bytes in the word.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    pub id: u32,
    pub start: u32,
    pub len: u32,
}

/// What two neighbours become. A lower rank is merged first.
#[derive(Clone, Copy, Debug)]
pub struct Merged {
    pub rank: u32,
    pub id: u32,
}

/// Up to this many symbols a scan for the best pair beats a heap.
const SCAN_SYMBOLS_MAX: usize = 40;

/// Merges in place. `pair` tells what two neighbours become, if anything.
pub fn merge(symbols: &mut Vec<Symbol>, pair: impl Fn(Symbol, Symbol) -> Option<Merged>) {
    match symbols.len() {
        0 | 1 => {}
        2..=SCAN_SYMBOLS_MAX => merge_by_scan(symbols, pair),
        _ => merge_by_heap(symbols, pair),
    }
}

fn joined(left: Symbol, right: Symbol, id: u32) -> Symbol {
    Symbol { id, start: left.start, len: left.len + right.len }
}

const NONE: Merged = Merged { rank: u32::MAX, id: u32::MAX };

fn merge_by_scan(symbols: &mut Vec<Symbol>, pair: impl Fn(Symbol, Symbol) -> Option<Merged>) {
    let mut pairs = [NONE; SCAN_SYMBOLS_MAX];
    let mut known = symbols.len() - 1;
    for i in 0..known {
        pairs[i] = pair(symbols[i], symbols[i + 1]).unwrap_or(NONE);
    }
    while known > 0 {
        let mut best = 0;
        for i in 1..known {
            if pairs[i].rank < pairs[best].rank {
                best = i;
            }
        }
        if pairs[best].id == NONE.id {
            break;
        }
        symbols[best] = joined(symbols[best], symbols[best + 1], pairs[best].id);
        symbols.remove(best + 1);
        pairs.copy_within(best + 1..known, best);
        known -= 1;
        if best > 0 {
            pairs[best - 1] = pair(symbols[best - 1], symbols[best]).unwrap_or(NONE);
        }
        if best < known {
            pairs[best] = pair(symbols[best], symbols[best + 1]).unwrap_or(NONE);
        }
    }
}

/// A pair waiting in the heap; stale when either symbol has changed since. Ordered by rank, then from the left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    rank: u32,
    left: u32,
    right: u32,
    id: u32,
    len: u32,
}

fn merge_by_heap(symbols: &mut Vec<Symbol>, pair: impl Fn(Symbol, Symbol) -> Option<Merged>) {
    const END: u32 = u32::MAX;
    let count = symbols.len() as u32;
    let mut next: Vec<u32> = (1..=count).map(|i| if i == count { END } else { i }).collect();
    let mut previous: Vec<u32> = (0..count).map(|i| i.wrapping_sub(1)).collect();
    let waiting = |symbols: &[Symbol], left: u32, right: u32| {
        let (a, b) = (symbols[left as usize], symbols[right as usize]);
        pair(a, b).map(|m| Reverse(Waiting { rank: m.rank, left, right, id: m.id, len: a.len + b.len }))
    };
    let mut heap: BinaryHeap<_> = (1..count).filter_map(|i| waiting(symbols, i - 1, i)).collect();

    while let Some(Reverse(best)) = heap.pop() {
        let (left, right) = (best.left as usize, best.right as usize);
        let (a, b) = (symbols[left], symbols[right]);
        if a.len == 0 || b.len == 0 || a.len + b.len != best.len {
            continue;
        }
        symbols[left] = joined(a, b, best.id);
        symbols[right].len = 0;
        next[left] = next[right];
        if next[right] != END {
            previous[next[right] as usize] = best.left;
        }
        if previous[left] != END {
            heap.extend(waiting(symbols, previous[left], best.left));
        }
        if next[left] != END {
            heap.extend(waiting(symbols, best.left, next[left]));
        }
    }
    symbols.retain(|symbol| symbol.len != 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(count: u32) -> Vec<Symbol> {
        (0..count).map(|i| Symbol { id: i * 7 % 5, start: i, len: 1 }).collect()
    }

    #[test]
    fn scan_and_heap_agree() {
        let pair = |a: Symbol, b: Symbol| {
            let key = a.id * 31 + b.id * 17 + a.len;
            (key % 3 != 0 && a.len + b.len < 9).then(|| Merged { rank: key % 11, id: key % 23 })
        };
        for count in 2..=SCAN_SYMBOLS_MAX as u32 {
            let (mut scanned, mut heaped) = (symbols(count), symbols(count));
            merge_by_scan(&mut scanned, pair);
            merge_by_heap(&mut heaped, pair);
            let flat = |v: &[Symbol]| v.iter().map(|s| (s.id, s.start, s.len)).collect::<Vec<_>>();
            assert_eq!(flat(&scanned), flat(&heaped), "{count} symbols");
        }
    }
}
