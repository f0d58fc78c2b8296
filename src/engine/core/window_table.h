// WindowTable: one sequence's blocks for windowed layers: a table by block number, of which only
// the end is held.
// Owner: the sequence. Thread: the device thread.
#pragma once

#include <vector>

#include "engine/core/block_pool.h"

namespace pippin::engine {

struct WindowTable {
  std::vector<BlockLease> blocks;  // empty leases (id -1) before `first`
  int first = 0;                   // what lies before is out of the window and given back

  int size() const { return static_cast<int>(blocks.size()); }
  int held() const { return size() - first; }
  /// Gives all blocks back, the deepest first.
  void clear() {
    while (!blocks.empty()) blocks.pop_back();
    first = 0;
  }
};

}  // namespace pippin::engine
