// StrongId<Tag>: an integer id that does not mix with other ids.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace pippin {

template <typename Tag, typename Int = uint64_t>
struct StrongId {
  Int value = 0;
  constexpr auto operator<=>(const StrongId&) const = default;
};

}  // namespace pippin

template <typename Tag, typename Int>
struct std::hash<pippin::StrongId<Tag, Int>> {
  size_t operator()(pippin::StrongId<Tag, Int> id) const noexcept {
    return std::hash<Int>()(id.value);
  }
};
