// Eviction: what goes from a store that has grown over its limits: first the oldest of who holds
// the most, so that no key pushes out another's share. Thread: the store's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace pippin::service {

/// Entries and their bytes, of a key or of a whole store.
struct Holding {
  int64_t count = 0, bytes = 0;
};
using Holdings = std::map<std::string, Holding>;  // by key

/// Lets a key's entries go until they are `bytes_max` at most; 0: there is no limit.
/// `erase_one(key, holding)` erases the oldest and counts it out; false: there is none that may go.
/// Returns whether the limit is kept.
template <typename EraseOne>
Result<bool> evict_own(const std::string& key, int64_t bytes_max, Holding& own,
                       EraseOne erase_one) {
  while (bytes_max > 0 && own.bytes > bytes_max) {
    ASSIGN_OR_RETURN(const bool gone, erase_one(key, own));
    if (!gone) return false;
  }
  return true;
}

/// Lets entries go until `held` and `pinned`, which stays, keep both limits of `most` together.
/// Returns whether they do.
template <typename EraseOne>
Result<bool> evict_largest(const Holding& most, const Holding& pinned, Holdings held,
                           EraseOne erase_one) {
  for (;;) {
    Holding all = pinned;
    for (const auto& [key, holding] : held) {
      all.count += holding.count;
      all.bytes += holding.bytes;
    }
    const bool many = all.count > most.count;
    if (!many && all.bytes <= most.bytes) return true;
    if (held.empty()) return false;
    const auto largest = std::ranges::max_element(held, {}, [many](const auto& entry) {
      return many ? entry.second.count : entry.second.bytes;
    });
    ASSIGN_OR_RETURN(const bool gone, erase_one(largest->first, largest->second));
    if (!gone) held.erase(largest);
  }
}

}  // namespace pippin::service
