// Names of models that are fetched: hf:org/repo[@revision][:file or quant] and ollama:name[:tag].
// What comes out is safe as a part of a path and of a URL. Plain structs; thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace pippin::hub {

/// A repository of the Hugging Face hub, and what is meant of it.
struct HfName {
  std::string repo;               // "org/repo"
  std::string revision = "main";  // a branch, a tag or a commit
  std::string selector;           // a file's path or a quant ("Q4_K_M"); empty: the default choice

  bool selects_file() const { return selector.ends_with(".gguf"); }
  /// Returns "hf:org/repo:Q4_K_M", with the revision unless it is main.
  std::string text() const;
};

/// A model of an Ollama registry.
struct OllamaName {
  std::string host;   // "registry.ollama.ai", "localhost:5000"
  std::string space;  // "library"
  std::string model;
  std::string tag = "latest";

  /// Returns "ollama:qwen2.5:0.5b", without what is the default.
  std::string text() const { return "ollama:" + short_text(); }
  /// Returns "qwen2.5:0.5b": as Ollama's own lists show it; the tag always stands.
  std::string short_text() const;
  bool operator==(const OllamaName&) const = default;
};

using ModelName = std::variant<HfName, OllamaName>;

inline constexpr const char* kOllamaHost = "registry.ollama.ai";

/// Returns whether a name begins with hf: or ollama:.
bool is_model_name(std::string_view text);

/// Reads a name with its scheme. Errors: kInvalidArgument, saying what a name looks like.
Result<ModelName> parse_model_name(std::string_view text);
/// Reads "org/repo[@revision][:file or quant]". Errors: as above.
Result<HfName> parse_hf_name(std::string_view text);
/// Reads "[host/][space/]model[:tag]". Errors: as above.
Result<OllamaName> parse_ollama_name(std::string_view text);

/// Returns whether `path` names a file below the folder it is joined to, in any file system:
/// relative, no "..", no empty segment, no control characters, no backslash.
bool is_safe_path(std::string_view path);
/// Returns whether `text` is `digits` lower-case hexadecimal digits.
bool is_hex(std::string_view text, size_t digits);

}  // namespace pippin::hub
