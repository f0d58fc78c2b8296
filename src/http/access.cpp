#include "http/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

#include "base/ascii.h"
#include "http/server.h"

namespace pippin::http {
namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "[::1]:8000" -> "::1", "LocalHost.:80" -> "localhost"; "" if it is not host[:port].
std::string host_name(std::string_view header) {
  std::string_view name = header;
  std::string_view port;
  if (header.starts_with('[')) {
    const size_t close = header.find(']');
    if (close == std::string_view::npos) return {};
    name = header.substr(1, close - 1);
    port = header.substr(close + 1);
  } else {
    const size_t colon = std::min(header.find(':'), header.size());
    name = header.substr(0, colon);
    port = header.substr(colon);
  }
  if (!port.empty() && port != ":" && !is_digits(port.substr(1))) return {};
  if (name.ends_with('.')) name.remove_suffix(1);
  return ascii_lower(name);
}

bool is_address(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

std::string machine_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return {};
  return ascii_lower(name.data());
}

}  // namespace

std::vector<std::string> loopback_origins() {
  return {"http://localhost:*",  "https://localhost:*", "http://127.0.0.1:*",
          "https://127.0.0.1:*", "http://[::1]:*",      "https://[::1]:*"};
}

bool host_allowed(std::string_view host_header, std::string_view bound,
                  const std::vector<std::string>& allowed) {
  static const std::string self = machine_name();
  const std::string name = host_name(host_header);
  if (name.empty()) return false;
  if (is_address(name) || name == "localhost" || name.ends_with(".localhost") ||
      name == "host.docker.internal" || name == ascii_lower(bound) || name == self)
    return true;
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& entry) {
    return entry == "*" || ascii_lower(entry) == name;
  });
}

bool origin_allowed(std::string_view origin, const std::vector<std::string>& allowed) {
  for (std::string_view entry : allowed) {
    if (entry == "*" || entry == origin) return true;
    if (!entry.ends_with(":*")) continue;
    entry.remove_suffix(2);
    if (!origin.starts_with(entry)) continue;
    const std::string_view port = origin.substr(entry.size());
    if (port.empty() || (port.front() == ':' && is_digits(port.substr(1)))) return true;
  }
  return false;
}

bool is_web_origin(std::string_view origin) {
  return origin == "null" || origin.starts_with("http://") || origin.starts_with("https://");
}

bool same_origin(std::string_view origin, std::string_view host_header) {
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && !host_header.empty() &&
         ascii_lower(origin.substr(scheme + 3)) == ascii_lower(host_header);
}

bool request_id_is_sane(std::string_view id) {
  constexpr std::string_view kOthers = "._:/+=-";
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::vector<std::string_view> presented_keys(
    const std::vector<std::pair<std::string, std::string>>& headers) {
  constexpr std::string_view kBearer = "bearer ";
  constexpr size_t kKeysMax = 4;
  std::vector<std::string_view> keys;
  for (const auto& [name, value] : headers) {
    std::string_view key = value;
    if (name == "authorization") {
      if (ascii_lower(key.substr(0, kBearer.size())) != kBearer) continue;
      key.remove_prefix(kBearer.size());
    } else if (name != "x-api-key" && name != "api-key") {
      continue;
    }
    while (key.starts_with(' ')) key.remove_prefix(1);
    while (key.ends_with(' ')) key.remove_suffix(1);
    if (!key.empty() && keys.size() < kKeysMax) keys.push_back(key);
  }
  return keys;
}

bool is_probe(std::string_view path) { return path == "/health" || path == "/metrics"; }

std::string make_request_id() {
  thread_local std::mt19937_64 generator{(static_cast<uint64_t>(std::random_device{}()) << 32) ^
                                         std::random_device{}()};
  return fmt::format("req-{:016x}{:08x}", generator(), generator() >> 32);
}

}  // namespace pippin::http
