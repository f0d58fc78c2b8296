// HttpClient: one HTTP request at a time by libcurl, without following redirects and without
// anything that could leave http and https. Internal to hub. Thread: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/address_rule.h"
#include "hub/cancel.h"

namespace pippin::hub {

/// Bytes first to last, both included.
struct ByteRange {
  uint64_t first = 0, last = 0;
  uint64_t bytes() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case; the last wins
  std::string body;  // where no sink took it; of a failure its beginning
  std::string url;   // where it came from, after redirects

  bool ok() const { return status >= 200 && status < 300; }
  bool is_redirect() const;
  /// Returns a header, or an empty text.
  std::string_view header(std::string_view name) const;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Accept: ..."
  std::string bearer;                // sent as it is; empty: none
  std::optional<ByteRange> range;
  bool head = false;
  std::optional<std::string> post;  // the body of a POST
  size_t body_max = size_t{32} << 20;
  /// Takes the body of a 2xx answer piece by piece, its status and headers known; false ends the
  /// transfer, which is then no error.
  std::function<bool(const HttpResponse& answer, std::string_view piece)> sink;
};

struct HttpOptions {
  std::chrono::milliseconds stall = std::chrono::seconds(30);
  const Cancel* cancel = nullptr;      // null: cannot be cancelled
  std::function<bool()> stopped = {};  // a second reason to end
  /// Asked before each connection, where no proxy makes it; null: any address will do.
  std::shared_ptr<AddressRule> addresses = {};
  /// PEM file of who is trusted to vouch for a server; empty: SSL_CERT_FILE, or the system's.
  std::string cacert = {};
};

class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends a request and returns whatever is answered, redirects and failures too. Errors:
  /// kTimeout when the connection was cut or stalled, which is worth another try; kUnavailable when
  /// none came about; kPermissionDenied when TLS failed, as over a certificate that is not trusted,
  /// or the address may not be connected to; kTooLarge over body_max; kCancelled; kInvalidArgument
  /// for a URL that is not http or https.
  Result<HttpResponse> send(const HttpRequest& request);

  /// The same, but follows redirects: over http and https only, never from https down to http, and
  /// with the bearer only where scheme, host and port are those of request.url.
  Result<HttpResponse> follow(HttpRequest request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Returns "https://host:port" of a URL, with the port always. Errors: kInvalidArgument when it is
/// no http or https URL, or holds a password.
Result<std::string> origin_of(const std::string& url);
/// Returns `location` as seen from `base`. Errors: as above.
Result<std::string> resolve_url(const std::string& base, const std::string& location);
/// Returns text with all but letters, digits, "-._~" and '/' escaped, fit for a URL's path.
std::string escape_path(std::string_view text);
/// Returns how long a server asks to wait: Retry-After in seconds or as a date, or RateLimit's t.
std::optional<std::chrono::seconds> pause_asked(const HttpResponse& answer);
/// Returns a URL's host in lower case, without its port; empty for no URL.
std::string host_of(const std::string& url);
/// Returns whether a URL's host is this machine.
bool is_loopback(const std::string& url);

}  // namespace pippin::hub
