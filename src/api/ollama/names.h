// Names of models as Ollama writes them: [host/][space/]model[:tag]; and digests. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace pippin::api::ollama {

/// Returns the name with its tag: "phi" is "phi:latest".
std::string full_name(std::string_view name);
/// Returns the name without the tag ":latest".
std::string_view short_name(std::string_view name);
/// Returns whether a model may be made under this name: letters, digits, '.', '_' and '-' in parts
/// between '/' and before ':', none of them empty or beginning with a dot.
bool is_model_name(std::string_view name);

/// Returns the SHA-256 of bytes, as 64 hexadecimal digits.
std::string sha256_hex(std::string_view bytes);
/// Returns the digits of "sha256:<64 hexadecimal digits>", or "".
std::string_view digest_hex(std::string_view digest);

}  // namespace pippin::api::ollama
