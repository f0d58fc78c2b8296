#include "hub/gguf_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>

namespace pippin::hub {
namespace {

constexpr std::string_view kSuffix = ".gguf";
constexpr int kShardsMax = 99999;

std::string_view stem_of(std::string_view path) {
  return path.substr(0, path.size() - kSuffix.size());
}
std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

std::optional<int> five_digits(std::string_view text) {
  int value = 0;
  if (text.size() != 5) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

struct Shard {
  std::string_view prefix;  // of the path, without "-00001-of-00003.gguf"
  int index = 1, count = 1;
};

Shard shard_of(std::string_view path) {
  constexpr size_t kTail = 15;  // "-00001-of-00003"
  const std::string_view stem = stem_of(path);
  if (stem.size() <= kTail) return {stem};
  const std::string_view tail = stem.substr(stem.size() - kTail);
  const auto index = five_digits(tail.substr(1, 5)), count = five_digits(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !index || !count) return {stem};
  if (*index < 1 || *index > *count || *count > kShardsMax) return {stem};
  return {stem.substr(0, stem.size() - kTail), *index, *count};
}

bool is_model(std::string_view path) {
  const std::string name = upper(name_of(path));
  if (!path.ends_with(kSuffix) || name.size() <= kSuffix.size()) return false;
  for (const char* other : {"MMPROJ", "IMATRIX", "MTP-", "EAGLE3-", "DFLASH-", "DSPARK-"})
    if (name.find(other) != std::string::npos) return false;
  return true;
}

/// "Q4_K_M", "IQ2_XXS", "F16", "MXFP4", "TQ1_0": what names of files call their format.
bool is_quant(std::string_view text) {
  if (text == "F16" || text == "F32" || text == "BF16") return true;
  for (const std::string_view prefix : {"IQ", "Q", "TQ", "MXFP", "NVFP", "FP"})
    if (text.starts_with(prefix) && text.size() > prefix.size() &&
        std::isdigit(static_cast<unsigned char>(text[prefix.size()])) != 0)
      return true;
  return false;
}

}  // namespace

std::string quant_of(std::string_view path) {
  if (!path.ends_with(kSuffix)) return {};
  const std::string_view prefix = shard_of(path).prefix;
  const std::string name = upper(name_of(prefix));
  const size_t at = name.find_last_of("-.");
  if (at != std::string::npos && is_quant(name.substr(at + 1))) return name.substr(at + 1);
  // Large models have a folder for each quant.
  const size_t slash = prefix.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string folder = upper(name_of(prefix.substr(0, slash)));
  return is_quant(folder) ? folder : std::string();
}

std::vector<GgufGroup> group_gguf(std::span<const std::string> paths) {
  struct Found {
    GgufGroup group;
    std::vector<int> indices;
  };
  std::map<std::pair<std::string, int>, Found> groups;
  std::vector<std::string> sorted(paths.begin(), paths.end());
  std::ranges::sort(sorted);
  for (const std::string& path : sorted) {
    if (!is_model(path)) continue;
    const Shard shard = shard_of(path);
    Found& found = groups[{std::string(shard.prefix), shard.count}];
    if (std::ranges::find(found.indices, shard.index) != found.indices.end()) continue;
    found.indices.push_back(shard.index);
    found.group.files.push_back(path);
    found.group.shards = shard.count;
    found.group.quant = quant_of(path);
  }
  std::vector<GgufGroup> out;
  for (auto& [prefix, found] : groups) out.push_back(std::move(found.group));
  return out;
}

Result<GgufGroup> choose_gguf(const std::vector<GgufGroup>& groups, std::string_view selector) {
  const auto find = [&](const auto& fits) -> const GgufGroup* {
    const auto place = std::ranges::find_if(
        groups, [&](const GgufGroup& group) { return group.complete() && fits(group); });
    return place == groups.end() ? nullptr : &*place;
  };
  const auto find_quant = [&](std::string_view quant) {
    const std::string wanted = upper(quant);
    if (const GgufGroup* exact = find([&](const GgufGroup& g) { return g.quant == wanted; }))
      return exact;
    // "UD-Q4_K_XL" and the like: anywhere in the name, at the end of a word.
    return find([&](const GgufGroup& group) {
      const std::string path = upper(group.files.front());
      const size_t at = path.find(wanted);
      return at != std::string::npos && at + wanted.size() < path.size() &&
             std::string_view(".-/").find(path[at + wanted.size()]) != std::string_view::npos;
    });
  };
  const GgufGroup* chosen = nullptr;
  if (selector.ends_with(kSuffix)) {
    chosen = find([&](const GgufGroup& group) {
      return std::ranges::find(group.files, selector) != group.files.end();
    });
  } else if (!selector.empty()) {
    chosen = find_quant(selector);
  } else {
    chosen = find_quant("Q4_K_M");
    if (chosen == nullptr) chosen = find_quant("Q8_0");
    if (chosen == nullptr) chosen = find([](const GgufGroup&) { return true; });
  }
  if (chosen != nullptr) return *chosen;
  constexpr size_t kShownMax = 40;
  std::vector<std::string> there;
  for (const GgufGroup& group : groups)
    if (group.complete() && there.size() < kShownMax)
      there.push_back(group.quant.empty() || selector.ends_with(kSuffix) ? group.files.front()
                                                                         : group.quant);
  return fail(Code::kNotFound, there.empty() ? "there are no GGUF models"
                                             : fmt::format("there is no '{}'; there are: {}",
                                                           selector, fmt::join(there, ", ")));
}

}  // namespace pippin::hub
