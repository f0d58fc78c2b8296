#include "api/shared/names.h"

#include <algorithm>
#include <random>

namespace pippin::api {
namespace {

constexpr std::string_view kLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

}  // namespace

std::string new_id(std::string_view prefix) {
  std::random_device random;
  std::string id(prefix);
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

bool is_tool_name(std::string_view name, size_t length_max) {
  return !name.empty() && name.size() <= length_max && std::ranges::all_of(name, [](char c) {
    return kLetters.find(c) != std::string_view::npos || c == '_' || c == '-';
  });
}

}  // namespace pippin::api
