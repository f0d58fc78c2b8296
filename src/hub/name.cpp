#include "hub/name.h"

#include <algorithm>
#include <vector>

namespace pippin::hub {
namespace {

constexpr size_t kSegmentBytesMax = 96;  // as the hub has it
constexpr size_t kPathBytesMax = 1024;
constexpr const char* kHfForm = "hf:ORG/REPO[@REVISION][:FILE.gguf or QUANT]";
constexpr const char* kOllamaForm = "ollama:[HOST/][SPACE/]NAME[:TAG]";

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Letters, digits and `others`; begins with a letter, a digit or '_'; no "..".
bool is_word(std::string_view text, std::string_view others, size_t bytes_max = kSegmentBytesMax) {
  if (text.empty() || text.size() > bytes_max) return false;
  if (!is_alnum(text.front()) && text.front() != '_') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(
      text, [&](char c) { return is_alnum(c) || others.find(c) != std::string_view::npos; });
}

/// The hub's own rule, which keeps "models--org--repo" unambiguous.
bool is_repo_part(std::string_view text) {
  return is_word(text, "-_.") && !text.ends_with('-') && !text.ends_with('.') &&
         text.find("--") == std::string_view::npos;
}

Error malformed(std::string_view text, const char* form, const std::string& what) {
  constexpr size_t kShownMax = 120;
  std::string shown;
  for (const char c : text.substr(0, kShownMax))
    shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return fail(Code::kInvalidArgument,
              "[hub] '" + shown + "' is no name of a model: " + what + "; expected " + form,
              "model");
}

/// Cuts `text` at the first `mark`; returns what is behind it, or nothing.
std::optional<std::string_view> cut(std::string_view& text, char mark) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + 1);
  text = text.substr(0, at);
  return rest;
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kPathBytesMax || path.front() == '/') return false;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') return false;
  }
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment.empty() || segment == "." || segment == ".." || segment.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string HfName::text() const {
  std::string text = "hf:" + repo;
  if (revision != "main") text += "@" + revision;
  if (!selector.empty()) text += ":" + selector;
  return text;
}

std::string OllamaName::short_text() const {
  std::string text;
  if (host != kOllamaHost) text += host + "/";
  if (host != kOllamaHost || space != "library") text += space + "/";
  return text + model + ":" + tag;
}

bool is_model_name(std::string_view text) {
  return text.starts_with("hf:") || text.starts_with("ollama:");
}

Result<ModelName> parse_model_name(std::string_view text) {
  if (text.starts_with("hf:")) {
    ASSIGN_OR_RETURN(HfName name, parse_hf_name(text.substr(3)));
    return ModelName(std::move(name));
  }
  if (text.starts_with("ollama:")) {
    ASSIGN_OR_RETURN(OllamaName name, parse_ollama_name(text.substr(7)));
    return ModelName(std::move(name));
  }
  return malformed(text, (std::string(kHfForm) + " or " + kOllamaForm).c_str(),
                   "it has no scheme that is known");
}

Result<HfName> parse_hf_name(std::string_view text) {
  std::string_view repo = text;
  HfName name;
  const auto selector = cut(repo, ':');
  const auto revision = cut(repo, '@');
  const size_t slash = repo.find('/');
  if (slash == std::string_view::npos || !is_repo_part(repo.substr(0, slash)) ||
      !is_repo_part(repo.substr(slash + 1)))
    return malformed(text, kHfForm, "the repository is not ORG/REPO");
  name.repo = repo;
  if (revision) {
    const bool plain = std::ranges::all_of(*revision, [](char c) {
      return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '/';
    });
    if (!plain || !is_safe_path(*revision) || revision->front() == '-')
      return malformed(text, kHfForm, "the revision is no branch, tag or commit");
    name.revision = *revision;
  }
  if (selector) {
    const bool file = selector->ends_with(".gguf");
    if (file ? !is_safe_path(*selector) : !is_word(*selector, "-_."))
      return malformed(text, kHfForm, "what follows ':' is neither a GGUF file nor a quant");
    name.selector = *selector;
  }
  return name;
}

Result<OllamaName> parse_ollama_name(std::string_view text) {
  OllamaName name{kOllamaHost, "library", {}, "latest"};
  std::vector<std::string_view> parts;
  std::string_view rest = text;
  for (size_t slash; (slash = rest.find('/')) != std::string_view::npos;
       rest.remove_prefix(slash + 1))
    parts.push_back(rest.substr(0, slash));
  if (const auto tag = cut(rest, ':')) name.tag = *tag;
  name.model = rest;
  if (parts.size() > 2) return malformed(text, kOllamaForm, "it has too many parts");
  if (!parts.empty()) name.space = parts.back();
  if (parts.size() == 2) name.host = parts.front();
  constexpr size_t kHostBytesMax = 350, kWordBytesMax = 80;
  if (!is_word(name.host, "-_.:", kHostBytesMax))
    return malformed(text, kOllamaForm, "the host is not one");
  if (!is_word(name.space, "-_.", kWordBytesMax) || !is_word(name.model, "-_.", kWordBytesMax))
    return malformed(text, kOllamaForm, "expected letters, digits, '-', '_' and '.'");
  if (!is_word(name.tag, "-_.", kWordBytesMax))
    return malformed(text, kOllamaForm,
                     "the tag holds more than letters, digits, '-', '_' and '.'");
  return name;
}

}  // namespace pippin::hub
