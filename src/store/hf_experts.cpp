#include "store/hf_experts.h"

#include <algorithm>
#include <span>

#include "store/hf_family.h"

namespace pippin::store {
namespace {

constexpr std::string_view kParents[] = {"mlp.", "block_sparse_moe.", "feed_forward.", "mixer."};
constexpr ModuleName kProjections[] = {{"gate_proj", "ffn_gate"}, {"up_proj", "ffn_up"},
                                       {"down_proj", "ffn_down"}, {"gate_up_proj", "ffn_gate_up"},
                                       {"w1", "ffn_gate"},        {"w3", "ffn_up"},
                                       {"w2", "ffn_down"},        {"fc1", "ffn_up"},
                                       {"fc2", "ffn_down"}};
// Ends of names without a kind, and with it.
constexpr ModuleName kBare[] = {
    {".experts.gate_up_proj", ".experts.gate_up_proj.weight"},
    {".experts.up_proj", ".experts.up_proj.weight"},
    {".experts.down_proj", ".experts.down_proj.weight"},
    {"_proj_blocks", "_proj.weight"},
    {"_proj_scales", "_proj.scales"},
    {"_proj_bias", "_proj.bias"},
    {".self_attn.sinks", ".self_attn.sinks.weight"},
    {".e_score_correction_bias", ".e_score_correction.bias"},
};

std::string_view gguf_projection(std::string_view name) {
  const auto place = std::ranges::find(kProjections, name, &ModuleName::theirs);
  return place == std::end(kProjections) ? std::string_view() : place->gguf;
}

// Takes `text` off the front, where it is there.
bool take(std::string_view& name, std::string_view text) {
  if (!name.starts_with(text)) return false;
  name.remove_prefix(text.size());
  return true;
}

}  // namespace

std::string expert_module(std::string_view part) {
  if (std::ranges::none_of(kParents, [&](std::string_view parent) { return take(part, parent); }))
    return {};
  if (!take(part, "experts.") && !take(part, "switch_mlp.")) return {};
  const size_t dot = part.find('.');
  if (dot == std::string_view::npos) {
    const std::string_view all = gguf_projection(part);
    return all.empty() ? std::string() : std::string(all) + "_exps";
  }
  const std::string_view expert = part.substr(0, dot), one = gguf_projection(part.substr(dot + 1));
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (one.empty() || expert.empty() || expert.size() > 4 || !std::ranges::all_of(expert, digit) ||
      (expert.size() > 1 && expert[0] == '0'))
    return {};
  return std::string(one) + "." + std::string(expert);
}

std::string with_kind(std::string_view name) {
  for (const auto& [bare, full] : kBare) {
    if (name.ends_with(bare))
      return std::string(name.substr(0, name.size() - bare.size())) + std::string(full);
  }
  return std::string(name);
}

}  // namespace pippin::store
