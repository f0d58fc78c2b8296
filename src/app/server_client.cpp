#include "app/server_client.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <filesystem>
#include <utility>

#include "app/connect_help.h"
#include "base/environment.h"
#include "base/json_read.h"
#include "hub/http_client.h"

namespace pippin::app {
namespace {

namespace json = boost::json;
using hub::HttpResponse;

double number_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return 0;
  return value->to_number<double>();
}

ServerModel read_model(const json::object& object) {
  const auto size = [&](std::string_view key) { return size_in(object, key).value_or(0); };
  ServerModel model;
  model.id = string_in(object, "id");
  model.architecture = string_in(object, "architecture");
  model.context_tokens = size("context_length");
  model.weights_bytes = size("weights_bytes");
  model.kv_bytes = size("kv_bytes");
  if (const json::value* status = object.if_contains("status"); status && status->is_object()) {
    const json::object& fields = status->get_object();
    model.state = string_in(fields, "value");
    model.memory_bytes = size_in(fields, "memory_bytes").value_or(0);
    const json::value* expires = fields.if_contains("expires_in_s");
    if (expires != nullptr && expires->is_number())
      model.expires_in_s = expires->to_number<double>();
  }
  model.running = size("running");
  model.waiting = size("waiting");
  return model;
}

/// What a server says of its refusal, in any of the forms of an error; empty: nothing.
std::string said_in(const HttpResponse& answer) {
  const Result<json::object> object = parse_object(answer.body, "[server] answer");
  const json::value* error = object.ok() ? object->if_contains("error") : nullptr;
  if (error == nullptr || !error->is_object()) return {};
  return std::string(string_in(error->get_object(), "message"));
}

/// Adds to a failed transfer what its user can do about it.
Error explained(const ServerAccess& server, const Error& error) {
  std::string advice;
  if (error.code == Code::kUnavailable)
    advice = "\n  `pippin serve` starts a server; --server, or --host and --port, name another";
  if (error.code == Code::kPermissionDenied)
    advice = "\n  --cacert names the certificate to trust; a server without TLS is an http:// one";
  if (error.code == Code::kTimeout && server.url.starts_with("http:"))
    advice = "\n  If it speaks https, give --tls-cert, or an https URL as --server";
  const std::string what = error.code == Code::kUnavailable
                               ? fmt::format("no server answers at {}: ", server.url)
                               : std::string();
  return fail(error.code, what + error.message + advice, error.param);
}

Error refused(const ServerAccess& server, const HttpResponse& answer) {
  const std::string said = said_in(answer);
  if (answer.status == 401)
    return fail(Code::kUnauthenticated,
                server.key.empty()
                    ? fmt::format("the server at {} needs a key: set PIPPIN_API_KEY", server.url)
                    : fmt::format("the server at {} does not accept the key in PIPPIN_API_KEY: {}",
                                  server.url, said));
  return fail(Code::kPermissionDenied,
              fmt::format("the server at {} does not allow this{}: {}", server.url,
                          server.key.empty() ? "" : " with the key in PIPPIN_API_KEY", said));
}

Result<HttpResponse> send(const ServerAccess& server, hub::HttpRequest request) {
  hub::HttpOptions options;
  options.stall = std::chrono::seconds(10);
  options.cacert = server.cacert;
  hub::HttpClient client(std::move(options));
  request.bearer = server.key;
  Result<HttpResponse> answer = client.send(request);
  if (!answer.ok()) return explained(server, answer.error());
  if (answer->status == 401 || answer->status == 403) return refused(server, *answer);
  return answer;
}

}  // namespace

Result<ServerAccess> server_access(const Settings& settings) {
  ServerAccess server;
  server.url = settings.server;
  const bool tls = !settings.tls_cert_path.empty();
  if (server.url.empty()) {
    if (settings.port == 0)
      return fail(Code::kInvalidArgument,
                  "--port 0 does not name a port: --server names the running server", "--server");
    server.url = url_of(settings.host, static_cast<uint16_t>(settings.port), tls);
  }
  while (server.url.ends_with('/')) server.url.pop_back();
  const char* key = environment_variable("PIPPIN_API_KEY");
  if (key != nullptr) server.key = key;
  server.cacert = settings.cacert_path.empty() ? settings.tls_cert_path : settings.cacert_path;
  std::error_code ignored;
  if (!server.cacert.empty() && !std::filesystem::is_regular_file(server.cacert, ignored))
    return fail(
        Code::kNotFound,
        fmt::format("{}: there is no file {}",
                    settings.cacert_path.empty() ? "--tls-cert" : "--cacert", server.cacert));
  return server;
}

Result<void> ask_to_unload(const ServerAccess& server, const std::string& model) {
  hub::HttpRequest request;
  request.url = server.url + "/models/unload";
  request.headers = {"Content-Type: application/json"};
  request.post = json::serialize(json::object{{"model", model}});
  ASSIGN_OR_RETURN(const HttpResponse answer, send(server, std::move(request)));
  if (answer.ok()) return {};
  const std::string said = said_in(answer);
  return fail(
      answer.status == 404 ? Code::kNotFound : Code::kUnavailable,
      said.empty() ? fmt::format("the server at {} answers {}", server.url, answer.status) : said);
}

Result<ServerStatus> ask_server(const ServerAccess& server) {
  hub::HttpRequest request;
  request.url = server.url + "/v1/status";
  Result<HttpResponse> answer = send(server, std::move(request));
  if (!answer.ok()) return answer.error();
  const Result<json::object> object = parse_object(answer->body, "[server] " + server.url);
  if (!answer->ok() || !object.ok() || !object->contains("ready"))
    return fail(Code::kInvalidFile, fmt::format("the server at {} is no pippin", server.url));
  ServerStatus status;
  const json::value* ready = object->if_contains("ready");
  status.ready = ready->is_bool() && ready->get_bool();
  status.reason = string_in(*object, "reason");
  status.version = string_in(*object, "version");
  status.pid = size_in(*object, "pid").value_or(0);
  status.uptime_s = number_in(*object, "uptime_s");
  status.resident_bytes = size_in(*object, "resident_bytes").value_or(0);
  if (const json::array* models = array_in(*object, "models"))
    for (const json::value& model : *models)
      if (model.is_object()) status.models.push_back(read_model(model.get_object()));
  return status;
}

}  // namespace pippin::app
