#include "hub/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include "base/ascii.h"

namespace pippin::hub {
namespace {

constexpr size_t kHeaderBytesMax = 256 << 10;
constexpr size_t kFailureBodyMax = 64 << 10;
constexpr int kRedirectsMax = 8;
constexpr long kConnectSeconds = 20;

/// libcurl wants to be set up once, before the first thread uses it.
struct CurlGlobal {
  CurlGlobal() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlDeleter>;

std::string part_of(CURLU* url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string out = text;
  curl_free(text);
  return out;
}

Error bad_url(const std::string& url) {
  return fail(
      Code::kInvalidArgument,
      fmt::format("[hub] expected an http or https URL, but found '{}'", url.substr(0, 200)));
}

Result<UrlHandle> parse_url(const std::string& text, CURLU* base = nullptr) {
  UrlHandle url(base != nullptr ? curl_url_dup(base) : curl_url());
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    return bad_url(text);
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME);
  const bool known = scheme == "http" || scheme == "https";
  if (!known || part_of(url.get(), CURLUPART_HOST).empty() ||
      !part_of(url.get(), CURLUPART_PASSWORD).empty())
    return bad_url(text);
  return url;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.remove_suffix(1);
  return text;
}

/// What the callbacks of one transfer share.
struct Transfer {
  const HttpRequest& request;
  const HttpOptions& options;
  CURL* easy;
  HttpResponse answer;
  size_t header_bytes = 0;
  bool ended_by_sink = false, too_large = false, address_refused = false;
};

/// Whether libcurl may be led to a proxy: then the addresses that it connects to are the proxy's,
/// whose rule they are.
bool has_proxy() {
  constexpr const char* kVariables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
  return std::ranges::any_of(kVariables, [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  });
}

curl_socket_t on_open(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  AddressRule* const rule = transfer.options.addresses.get();
  if (rule != nullptr && !has_proxy() &&
      !rule->allows(host_of(transfer.request.url), address->addr)) {
    transfer.address_refused = true;
    return CURL_SOCKET_BAD;
  }
#ifdef SOCK_CLOEXEC
  const int type = address->socktype | SOCK_CLOEXEC;
#else
  const int type = address->socktype;
#endif
  return socket(address->family, type, address->protocol);
}

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kHeaderBytesMax) {
    transfer.too_large = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // a new answer, after "100 Continue" for one
    transfer.answer.headers.clear();
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  transfer.answer.headers[ascii_lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
  return line.size();
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view piece(data, size * count);
  HttpResponse& answer = transfer.answer;
  if (answer.status == 0) {
    long status = 0;
    curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
  }
  if (!answer.ok()) {  // a failure's text is for a message: its beginning is enough
    answer.body += piece.substr(0, kFailureBodyMax - std::min(kFailureBodyMax, answer.body.size()));
    transfer.ended_by_sink = answer.body.size() >= kFailureBodyMax;
    return transfer.ended_by_sink ? 0 : piece.size();
  }
  if (transfer.request.sink) {
    transfer.ended_by_sink = !transfer.request.sink(answer, piece);
    return transfer.ended_by_sink ? 0 : piece.size();
  }
  transfer.too_large = answer.body.size() + piece.size() > transfer.request.body_max;
  if (transfer.too_large) return 0;
  answer.body += piece;
  return piece.size();
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& options = static_cast<Transfer*>(user)->options;
  const bool cancelled = options.cancel != nullptr && options.cancel->requested();
  return cancelled || (options.stopped && options.stopped()) ? 1 : 0;
}

/// What libcurl's failure means for us.
Error transfer_error(CURLcode code, const char* detail, const Transfer& transfer) {
  const std::string url = transfer.request.url.substr(0, transfer.request.url.find('?'));
  const std::string why = *detail != '\0' ? detail : curl_easy_strerror(code);
  if (code == CURLE_ABORTED_BY_CALLBACK) return fail(Code::kCancelled, "[hub] cancelled");
  if (transfer.too_large)
    return fail(Code::kTooLarge,
                fmt::format("[hub] {}: the response is longer than the limit", url));
  if (transfer.address_refused)
    return fail(Code::kPermissionDenied,
                fmt::format("[hub] {} leads to an address that is not public", url));
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return bad_url(url);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return fail(Code::kUnavailable, fmt::format("[hub] {} cannot be reached: {}", url, why));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fail(Code::kPermissionDenied, fmt::format("[hub] {} is not trusted: {}", url, why));
    default:
      return fail(Code::kTimeout, fmt::format("[hub] {}: the connection broke: {}", url, why));
  }
}

}  // namespace

bool HttpResponse::is_redirect() const {
  return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
         headers.contains("location");
}

std::string_view HttpResponse::header(std::string_view name) const {
  const auto place = headers.find(name);
  return place == headers.end() ? std::string_view() : std::string_view(place->second);
}

struct HttpClient::Impl {
  HttpOptions options;
  CURL* easy = nullptr;
};

HttpClient::HttpClient(HttpOptions options) : impl_(std::make_unique<Impl>()) {
  static const CurlGlobal global;
  impl_->options = std::move(options);
  impl_->easy = curl_easy_init();
  CHECK(impl_->easy != nullptr, "libcurl gives a handle");
}

HttpClient::~HttpClient() { curl_easy_cleanup(impl_->easy); }

Result<HttpResponse> HttpClient::send(const HttpRequest& request) {
  ASSIGN_OR_RETURN([[maybe_unused]] const UrlHandle checked, parse_url(request.url));
  CURL* easy = impl_->easy;
  curl_easy_reset(easy);  // keeps its open connections
  Transfer transfer{request, impl_->options, easy, {}};
  transfer.answer.url = request.url;
  char detail[CURL_ERROR_SIZE] = "";
  const auto set = [easy](auto option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "pippin");
  set(CURLOPT_ERRORBUFFER, detail);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  const long stall_s = std::max<long>(1, (impl_->options.stall.count() + 999) / 1000);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, stall_s);
  set(CURLOPT_HEADERFUNCTION, on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_OPENSOCKETFUNCTION, on_open);
  set(CURLOPT_OPENSOCKETDATA, &transfer);
  // The library reads no variable itself; the command of the same name and OpenSSL do.
  const char* const trusted =
      impl_->options.cacert.empty() ? std::getenv("SSL_CERT_FILE") : impl_->options.cacert.c_str();
  if (trusted != nullptr && *trusted != '\0') set(CURLOPT_CAINFO, trusted);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
  set(CURLOPT_XFERINFODATA, &transfer);
  if (request.head) set(CURLOPT_NOBODY, 1L);
  if (request.post) {
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.post->size()));
    set(CURLOPT_POSTFIELDS, request.post->c_str());
  }
  std::string range;
  if (request.range) {
    range = fmt::format("{}-{}", request.range->first, request.range->last);
    set(CURLOPT_RANGE, range.c_str());
  }
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  if (!request.bearer.empty())
    list = curl_slist_append(list, ("Authorization: Bearer " + request.bearer).c_str());
  set(CURLOPT_HTTPHEADER, list);
  const CURLcode code = curl_easy_perform(easy);
  curl_slist_free_all(list);
  if (code != CURLE_OK && !transfer.ended_by_sink) return transfer_error(code, detail, transfer);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.answer.status = static_cast<int>(status);
  return std::move(transfer.answer);
}

Result<HttpResponse> HttpClient::follow(HttpRequest request) {
  ASSIGN_OR_RETURN(const std::string home, origin_of(request.url));
  const std::string bearer = request.bearer;
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    ASSIGN_OR_RETURN(HttpResponse answer, send(request));
    if (!answer.is_redirect()) return answer;
    ASSIGN_OR_RETURN(std::string next,
                     resolve_url(request.url, std::string(answer.header("location"))));
    ASSIGN_OR_RETURN(const std::string origin, origin_of(next));
    if (request.url.starts_with("https:") && !origin.starts_with("https:"))
      return fail(Code::kPermissionDenied,
                  fmt::format("[hub] {} redirects to {}, which is not encrypted", home, origin));
    request.url = std::move(next);
    request.bearer = origin == home ? bearer : std::string();
  }
  return fail(Code::kUnavailable,
              fmt::format("[hub] {}: more than {} redirects", home, kRedirectsMax));
}

Result<std::string> origin_of(const std::string& url) {
  ASSIGN_OR_RETURN(const UrlHandle parsed, parse_url(url));
  return fmt::format("{}://{}:{}", part_of(parsed.get(), CURLUPART_SCHEME),
                     ascii_lower(part_of(parsed.get(), CURLUPART_HOST)),
                     part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

Result<std::string> resolve_url(const std::string& base, const std::string& location) {
  ASSIGN_OR_RETURN(const UrlHandle from, parse_url(base));
  ASSIGN_OR_RETURN(const UrlHandle to, parse_url(location, from.get()));
  return part_of(to.get(), CURLUPART_URL);
}

std::string escape_path(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        std::isalnum(byte) != 0 || std::string_view("-._~/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

std::optional<std::chrono::seconds> pause_asked(const HttpResponse& answer) {
  using std::chrono::seconds;
  const std::string after(answer.header("retry-after"));
  int64_t count = 0;
  const auto digits = std::from_chars(after.data(), after.data() + after.size(), count);
  if (digits.ec == std::errc() && digits.ptr == after.data() + after.size() && count >= 0)
    return seconds(count);
  if (const time_t date = after.empty() ? -1 : curl_getdate(after.c_str(), nullptr); date >= 0)
    return seconds(std::max<int64_t>(0, date - std::time(nullptr)));
  // The draft standard, which the Hugging Face hub follows: "api";r=0;t=37
  const std::string_view limit = answer.header("ratelimit");
  const size_t at = limit.find("t=");
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = limit.substr(at + 2);
  if (std::from_chars(rest.data(), rest.data() + rest.size(), count).ec != std::errc() || count < 0)
    return std::nullopt;
  return seconds(count);
}

std::string host_of(const std::string& url) {
  const Result<UrlHandle> parsed = parse_url(url);
  return parsed.ok() ? ascii_lower(part_of(parsed->get(), CURLUPART_HOST)) : std::string();
}

bool is_loopback(const std::string& url) {
  const std::string host = host_of(url);
  const bool v4 = host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
  return host == "localhost" || host == "[::1]" || v4;
}

}  // namespace pippin::hub
