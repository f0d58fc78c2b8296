#include "hub/server.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/json_read.h"
#include "hub/http_client.h"

namespace pippin::hub {
namespace {

namespace json = boost::json;

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
std::string said_in(const HttpAnswer& answer) {
  const Result<json::object> object = parse_object(answer.body, "[hub] answer");
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
    advice = "\n  Does it want https? Then --tls-cert or --server says so";
  const std::string what = error.code == Code::kUnavailable
                               ? fmt::format("no server answers at {}: ", server.url)
                               : std::string();
  return fail(error.code, what + error.message + advice, error.param);
}

Error refused(const ServerAccess& server, const HttpAnswer& answer) {
  const std::string said = said_in(answer);
  if (answer.status == 401)
    return fail(Code::kUnauthenticated,
                server.key.empty()
                    ? fmt::format("the server at {} wants a key: set PIPPIN_API_KEY", server.url)
                    : fmt::format("the server at {} does not accept the key in PIPPIN_API_KEY: {}",
                                  server.url, said));
  return fail(Code::kPermissionDenied,
              fmt::format("the server at {} does not allow this{}: {}", server.url,
                          server.key.empty() ? "" : " with the key in PIPPIN_API_KEY", said));
}

Result<HttpAnswer> send(const ServerAccess& server, HttpRequest request) {
  HttpOptions options;
  options.stall = std::chrono::seconds(10);
  options.cacert = server.cacert;
  HttpClient client(std::move(options));
  request.bearer = server.key;
  Result<HttpAnswer> answer = client.send(request);
  if (!answer.ok()) return explained(server, answer.error());
  if (answer->status == 401 || answer->status == 403) return refused(server, *answer);
  return answer;
}

}  // namespace

Result<void> ask_to_unload(const ServerAccess& server, const std::string& model) {
  HttpRequest request;
  request.url = server.url + "/models/unload";
  request.headers = {"Content-Type: application/json"};
  request.post = json::serialize(json::object{{"model", model}});
  ASSIGN_OR_RETURN(const HttpAnswer answer, send(server, std::move(request)));
  if (answer.ok()) return {};
  const std::string said = said_in(answer);
  return fail(
      answer.status == 404 ? Code::kNotFound : Code::kUnavailable,
      said.empty() ? fmt::format("the server at {} answers {}", server.url, answer.status) : said);
}

Result<ServerStatus> ask_server(const ServerAccess& server) {
  HttpRequest request;
  request.url = server.url + "/v1/status";
  Result<HttpAnswer> answer = send(server, std::move(request));
  if (!answer.ok()) return answer.error();
  const Result<json::object> object = parse_object(answer->body, "[hub] " + server.url);
  if (!answer->ok() || !object.ok() || !object->contains("ready"))
    return fail(Code::kInvalidFile, fmt::format("what answers at {} is no pippin", server.url));
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

bool is_this_machine(const std::string& url) { return is_loopback(url); }

}  // namespace pippin::hub
