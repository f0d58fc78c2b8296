#include "api/ollama/names.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace pippin::api::ollama {
namespace {

constexpr std::string_view kLatest = ":latest";
constexpr size_t kNameBytesMax = 200;

// Where the tag begins, if there is one: a colon before a slash is a host's port.
size_t tag_at(std::string_view name) {
  const size_t colon = name.rfind(':');
  const size_t slash = name.rfind('/');
  const bool port =
      colon != std::string_view::npos && slash != std::string_view::npos && colon < slash;
  return port ? std::string_view::npos : colon;
}

bool is_part(std::string_view part) {
  const auto fits = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !part.empty() && part.front() != '.' && std::ranges::all_of(part, fits);
}

}  // namespace

std::string full_name(std::string_view name) {
  return std::string(name) + std::string(tag_at(name) == std::string_view::npos ? kLatest : "");
}

std::string_view short_name(std::string_view name) {
  if (name.size() > kLatest.size() && name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

bool is_model_name(std::string_view name) {
  if (name.size() > kNameBytesMax) return false;
  const size_t colon = tag_at(name);
  if (colon != std::string_view::npos && !is_part(name.substr(colon + 1))) return false;
  std::string_view path = name.substr(0, colon);
  while (true) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (!is_part(path.substr(0, slash))) return false;
    if (slash == path.size()) return true;
    path.remove_prefix(slash + 1);
  }
}

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, 32> hash{};
  CHECK(EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr) == 1);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : hash) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string_view digest_hex(std::string_view digest) {
  constexpr std::string_view kScheme = "sha256:";
  constexpr size_t kDigits = 64;
  if (!digest.starts_with(kScheme)) return {};
  digest.remove_prefix(kScheme.size());
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return digest.size() == kDigits && std::ranges::all_of(digest, is_hex) ? digest
                                                                         : std::string_view{};
}

}  // namespace pippin::api::ollama
