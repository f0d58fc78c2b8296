#include "store/tensor_name.h"

#include <charconv>

namespace pippin::store {
namespace {

// Returns the number that a text begins with and a dot ends, and moves behind the dot; -1: none.
int take_number(std::string_view& text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at == end || *at != '.' || number < 0) return -1;
  text.remove_prefix(static_cast<size_t>(at + 1 - text.data()));
  return number;
}

}  // namespace

TensorName split_name(std::string_view name) {
  constexpr std::string_view kLayer = "blk.";
  if (!name.starts_with(kLayer)) return {-1, name};
  std::string_view rest = name.substr(kLayer.size());
  const int layer = take_number(rest);
  return {layer, layer < 0 ? name : rest};
}

ExpertName expert_name(std::string_view name) {
  const std::string_view part = split_name(name).part;
  const size_t dot = part.find('.');
  if (!part.starts_with("ffn_") || dot == std::string_view::npos) return {};
  std::string_view rest = part.substr(dot + 1);
  const int number = take_number(rest);
  if (number < 0) return {};
  return {number, name.substr(0, name.size() - part.size() + dot)};
}

}  // namespace pippin::store
