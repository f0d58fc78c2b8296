// NameIndex: finds entries of a list by name. Internal to store.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

namespace pippin::store {

/// The positions of a list in order of their names: look-ups by binary search, at four bytes an
/// entry and with no hash that a file could be made to collide in.
class NameIndex {
 public:
  template <typename NameAt>
  NameIndex(size_t count, NameAt name_at) : order_(count) {
    std::iota(order_.begin(), order_.end(), uint32_t{0});
    std::ranges::sort(order_, {}, name_at);
  }
  NameIndex() = default;

  /// Returns the position of a name that occurs twice, or -1.
  template <typename NameAt>
  int64_t duplicate(NameAt name_at) const {
    const auto twice = std::ranges::adjacent_find(order_, {}, name_at);
    return twice == order_.end() ? -1 : int64_t{*twice};
  }

  /// Returns the position of `name`, or -1.
  template <typename NameAt>
  int64_t find(std::string_view name, NameAt name_at) const {
    const auto place = std::ranges::lower_bound(order_, name, {}, name_at);
    return place == order_.end() || name_at(*place) != name ? -1 : int64_t{*place};
  }

 private:
  std::vector<uint32_t> order_;
};

}  // namespace pippin::store
