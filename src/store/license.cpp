#include "store/license.h"

#include <algorithm>

#include "store/checkpoint.h"
#include "store/hf_files.h"
#include "store/mapped_file.h"

namespace pippin::store {
namespace {

constexpr size_t kReadmeBytesMax = size_t{1} << 20;
constexpr size_t kHeadingBytesMax = 100;
constexpr std::string_view kBlank = " \t\r\"'";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) + 1 - first);
}

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// The value under a key of a model card's front matter, which is YAML: text, or a list, whose
/// first entry counts.
std::string_view value_of(std::string_view matter, std::string_view key) {
  while (!matter.empty()) {
    const std::string_view line = take_line(matter);
    if (!line.starts_with(key) || line.substr(key.size()).substr(0, 1) != ":") continue;
    const std::string_view value = trimmed(line.substr(key.size() + 1));
    if (!value.empty()) return value;
    const std::string_view entry = trimmed(take_line(matter));
    return entry.starts_with("- ") ? trimmed(entry.substr(2)) : std::string_view();
  }
  return {};
}

std::string_view front_matter(std::string_view card) {
  if (!card.starts_with("---\n") && !card.starts_with("---\r\n")) return {};
  const std::string_view rest = card.substr(card.find('\n') + 1);
  // The end follows a line, or at once.
  if (rest.starts_with("---")) return {};
  return rest.substr(0, rest.find("\n---"));
}

std::string text_in(const std::string& folder) {
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"}) {
    std::string text = read_license_file(folder + "/" + name);
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace

std::string folder_license(const std::string& folder) {
  const Result<std::string> card = read_hf_text(folder, "README.md");
  if (card.ok() && card->size() <= kReadmeBytesMax) {
    const std::string_view matter = front_matter(*card);
    const std::string_view license = value_of(matter, "license");
    const std::string_view name =
        license == "other" ? value_of(matter, "license_name") : std::string_view();
    if (!license.empty()) return std::string(name.empty() ? license : name);
  }
  return license_heading(text_in(folder));
}

std::string license_text(const Checkpoint& checkpoint) {
  return checkpoint.folder() == nullptr ? std::string() : text_in(checkpoint.path());
}

std::string license_heading(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = trimmed(take_line(text));
    line.remove_prefix(std::min(line.find_first_not_of("# "), line.size()));  // Markdown's
    if (!line.empty()) return std::string(line.substr(0, kHeadingBytesMax));
  }
  return {};
}

std::string read_license_file(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return {};
  const std::span<const std::byte> bytes = file->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()),
                     std::min(bytes.size(), kLicenseBytesMax));
}

}  // namespace pippin::store
