#include "base/duration_text.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace pippin {
namespace {

/// A unit of Go's durations.
struct Unit {
  std::string_view name;
  double nanoseconds;
};
// "ms" before "m": the longer name is tried first.
constexpr Unit kUnits[] = {{"ns", 1},  {"us", 1e3}, {"ms", 1e6},
                           {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

std::optional<double> nanoseconds_of(std::string_view text) {
  double sum = 0;
  bool any = false;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    if (digits == 0) return std::nullopt;
    const double number = std::strtod(std::string(text.substr(0, digits)).c_str(), nullptr);
    text.remove_prefix(digits);
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (found == nullptr && text.starts_with(unit.name)) found = &unit;
    }
    if (found == nullptr) return std::nullopt;
    sum += number * found->nanoseconds;
    text.remove_prefix(found->name.size());
    any = true;
  }
  return any ? std::optional(sum) : std::nullopt;
}

}  // namespace

std::optional<double> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  // A number without a unit counts as seconds, which clients with a text field send.
  std::optional<double> nanoseconds = nanoseconds_of(text);
  if (!nanoseconds) nanoseconds = nanoseconds_of(std::string(text) + "s");
  if (nanoseconds && negative) *nanoseconds = -*nanoseconds;
  return nanoseconds;
}

}  // namespace pippin
