// Connection: a request's head is checked and routed before its body is read.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/ascii.h"
#include "http/access.h"
#include "http/connection.h"
#include "http/target.h"

namespace pippin::http {
namespace {

bool is_header_name_list(std::string_view text) {
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '_' && c != ',' && c != ' ') return false;
  }
  return true;
}

}  // namespace

// Moves the parsed head into request_. Answers and returns false if the target is unusable.
bool Connection::adopt_head() {
  const auto& message = parser_->get();
  http10_ = message.version() == 10;
  close_after_ = close_after_ || !message.keep_alive() || io_thread_.shared.draining;
  const auto method = message.method_string();
  request_.method.assign(method.data(), method.size());
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    request_.headers.emplace_back(ascii_lower({name.data(), name.size()}),
                                  std::string(value.data(), value.size()));
  }
  const std::string_view id = request_.header("x-request-id");
  request_id_ = request_id_is_sane(id) ? std::string(id) : make_request_id();
  request_.id = request_id_;
  method_ = request_.method;
  head_only_ = method_ == "HEAD";
  const auto text = message.target();
  auto target = parse_target({text.data(), text.size()});
  if (!target.ok()) {
    close_after_ = true;
    path_.assign(text.data(),
                 std::min(text.find('?'), text.size()));  // undecoded, for the error's form
    send_failure({400, target.error(), {}});
    return false;
  }
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  path_ = request_.path;
  if (!target->authority.empty()) {
    std::erase_if(request_.headers, [](const auto& header) { return header.first == "host"; });
    request_.headers.emplace_back("host", std::move(target->authority));
  }
  return true;
}

std::optional<Connection::Failure> Connection::check_head() {
  const auto hosts = std::count_if(request_.headers.begin(), request_.headers.end(),
                                   [](const auto& header) { return header.first == "host"; });
  if (hosts > 1 || (hosts == 0 && !http10_))
    return Failure{
        400, fail(Code::kInvalidArgument, "[http] expected one Host header", "host"), {}};
  if (hosts == 1 && !host_allowed(request_.header("host"), options().host, options().allowed_hosts))
    return Failure{
        403,
        fail(Code::kPermissionDenied,
             "[http] expected a Host that names this server (an address, localhost, or a name "
             "allowed in its settings); other names are refused against DNS rebinding",
             "host"),
        {}};
  if (io_thread_.shared.draining && !is_probe(path_))
    return Failure{
        503, fail(Code::kUnavailable, "[http] the server is ending and takes no new requests"), {}};
  if (auto failure = check_origin()) return failure;
  if (auto failure = check_key()) return failure;
  if (options().may_answer && path_ != "/health") {
    if (const Result<void> may = options().may_answer(); !may.ok())
      return Failure{503, may.error(), {}};
  }
  if (auto failure = check_body_headers()) return failure;
  if (method_ == "OPTIONS") return std::nullopt;
  return route();
}

// A web page may ask only if its origin is allowed, or is this server's own. CORS alone would let
// any page send a request without reading the answer: enough to keep the model busy.
std::optional<Connection::Failure> Connection::check_origin() {
  const std::string_view origin = request_.header("origin");
  if (origin.empty()) return check_fetch_site();
  if (origin_allowed(origin, options().cors_origins)) {
    allow_origin_ = origin;
    return std::nullopt;
  }
  if (!is_web_origin(origin) || same_origin(origin, request_.header("host"))) return std::nullopt;
  return Failure{
      403,
      fail(Code::kPermissionDenied,
           "[http] expected a page of an allowed origin; this one is not in the server's settings",
           "origin"),
      {}};
}

// Images, scripts and links of a page come without an Origin; the browser's Sec-Fetch-Site tells
// whose page it is. Another site's page may ask for /health, and link to /.
std::optional<Connection::Failure> Connection::check_fetch_site() {
  const std::string site = ascii_lower(request_.header("sec-fetch-site"));
  if (site != "cross-site" && site != "same-site") return std::nullopt;
  if (path_ == "/health" || path_ == "/" || origin_allowed("", options().cors_origins))
    return std::nullopt;
  return Failure{403,
                 fail(Code::kPermissionDenied,
                      "[http] expected no request of another site's page without an allowed Origin",
                      "sec-fetch-site"),
                 {}};
}

// With keys, every path but /health needs one, unknown paths included. A browser's preflight
// carries none; its answer tells the methods only.
std::optional<Connection::Failure> Connection::check_key() {
  const bool preflight = method_ == "OPTIONS" && !allow_origin_.empty() &&
                         !request_.header("access-control-request-method").empty();
  if (!options().authenticate || path_ == "/health" || preflight) return std::nullopt;
  Authentication checked = options().authenticate(presented_keys(request_.headers));
  caller_ = request_.caller = std::move(checked.caller);  // also of a refused request, for the log
  if (!checked.refusal) return std::nullopt;
  const Error& error = *checked.refusal;
  switch (error.code) {
    case Code::kUnauthenticated:
      return Failure{401, error, {{"WWW-Authenticate", "Bearer"}}};
    case Code::kPermissionDenied:
      return Failure{403, error, {}};
    case Code::kRateLimited:
      return Failure{429, error, {}};
    default:
      return Failure{503, error, {}};
  }
}

std::optional<Connection::Failure> Connection::check_body_headers() {
  const std::string transfer = ascii_lower(request_.header("transfer-encoding"));
  if (!transfer.empty() && transfer != "chunked")
    return Failure{
        501, fail(Code::kUnsupported, "[http] expected no Transfer-Encoding but chunked"), {}};
  const std::string content = ascii_lower(request_.header("content-encoding"));
  if (!content.empty() && content != "identity")
    return Failure{
        415, fail(Code::kUnsupported, "[http] expected a body without Content-Encoding"), {}};
  const std::string expect = ascii_lower(request_.header("expect"));
  if (!expect.empty() && expect != "100-continue")
    return Failure{417, fail(Code::kUnsupported, "[http] expected no Expect but 100-continue"), {}};
  return std::nullopt;
}

// The route needs a key of a higher role. Sent before the body is read.
Connection::Failure Connection::forbidden(const Rule& rule) const {
  return {403,
          fail(Code::kPermissionDenied,
               fmt::format("[http] {} {} asks for a key of the role `{}`; this one has `{}`",
                           method_, path_, name_of(role_for(rule.action)),
                           name_of(caller_->permissions().role))),
          {}};
}

std::optional<Connection::Failure> Connection::route() {
  auto match = io_thread_.shared.router->find(method_, path_);
  if (match.handler == nullptr && head_only_) match = io_thread_.shared.router->find("GET", path_);
  if (match.handler != nullptr) {
    if (authorise(caller_.get(), match.rule) != Verdict::kGranted) return forbidden(match.rule);
    handler_ = match.handler;
    request_.rule = match.rule;
    request_.captures = std::move(match.captures);
    return std::nullopt;
  }
  if (match.allow.empty())
    return Failure{404, fail(Code::kNotFound, fmt::format("[http] no such path: {}", path_)), {}};
  const std::string allow = fmt::format("{}", fmt::join(match.allow, ", "));
  return Failure{405,
                 fail(Code::kInvalidArgument,
                      fmt::format("[http] expected {} for {}, came {}", allow, path_, method_)),
                 {{"Allow", allow}}};
}

// Answers OPTIONS for any known path; for a browser's preflight, with what the page may do.
bool Connection::answer_preflight() {
  if (method_ != "OPTIONS") return false;
  close_after_ = close_after_ || !parser_->is_done();
  const auto match = io_thread_.shared.router->find("OPTIONS", path_);
  if (match.allow.empty() && path_ != "*") {
    send_failure({404, fail(Code::kNotFound, fmt::format("[http] no such path: {}", path_)), {}});
    return true;
  }
  const std::string allow = fmt::format("{}", fmt::join(match.allow, ", "));
  api::Response response{
      204, "", "", {{"Allow", allow + (allow.empty() ? "OPTIONS" : ", OPTIONS")}}};
  if (!allow_origin_.empty()) {
    response.headers.emplace_back("Access-Control-Allow-Methods", allow);
    const std::string_view wanted = request_.header("access-control-request-headers");
    if (!wanted.empty() && is_header_name_list(wanted))
      response.headers.emplace_back("Access-Control-Allow-Headers", wanted);
    if (request_.header("access-control-request-private-network") == "true")
      response.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
    response.headers.emplace_back("Access-Control-Max-Age", "600");
  }
  send_whole(response);
  return true;
}

// The request is whole: hands it to the worker pool.
void Connection::dispatch() {
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  input_.shrink_to_fit();
  phase_ = Phase::kAnswering;
  set_idle(std::nullopt);
  set_deadline(SteadyTime::max());
  auto wake = [weak = weak_from_this(), executor = socket_.get_executor()] {
    asio::post(executor, [weak] {
      if (const auto self = weak.lock()) self->on_wake();
    });
  };
  answer_ = std::make_shared<Answer>(std::move(request_), std::move(lease_),
                                     options().stream_bytes_max, std::move(wake));
  if (queue_job()) return watch();
  answer_->detach();
  answer_.reset();
  send_failure({503,
                fail(Code::kOverloaded,
                     "[http] too many requests at once, here or of this client; try later"),
                {}});
}

// Returns false if the workers' queue is full.
bool Connection::queue_job() {
  auto job = [router = io_thread_.shared.router, handler = handler_,
              exchange = std::make_shared<AnswerExchange>(answer_)] { (*handler)(exchange); };
  WorkerPool& workers = *io_thread_.shared.workers;
  if (is_probe(path_)) {
    workers.post_probe(std::move(job));
    return true;
  }
  const api::Request& request = answer_->request();
  place_ = workers.post(std::move(job), {request.work_owner, request.body.size()});
  return place_.has_value();
}

// Withdraws the job of a client that has left.
void Connection::leave_queue() {
  if (const auto place = std::exchange(place_, std::nullopt))
    io_thread_.shared.workers->withdraw(*place);
}

}  // namespace pippin::http
