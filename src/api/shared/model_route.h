// ModelRoute: a route that needs a model, as a description: how it finds the model's name, and what
// it does once that model is loaded. make_handler() runs all of them, whatever the API. ApiRequest:
// a request whose model is loaded. Thread: the worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/context.h"
#include "api/exchange.h"
#include "api/shared/field_reader.h"
#include "api/shared/response_stream.h"
#include "api/shared/response_times.h"
#include "service/chat/generation.h"
#include "service/models/model_lease.h"

namespace pippin::api {

namespace ollama {
struct DerivedModel;
}

/// How an API says what went wrong before a request has a writer, and what its streams are.
struct ApiFormat {
  Response (*error)(const Error& error, const Request& request);
  Response (*field_error)(const FieldError& error, const Request& request);
  /// Of a body that cannot be read.
  Response (*body_error)(const Error& error, const Request& request);
  bool event_streams = true;   // "stream": true asks for server-sent events
  std::string_view ping = {};  // an event that says nothing; empty: a comment with the progress
  std::string_view error_event = "data: ";  // what stands before an error's body in such a stream
};

/// Which model a request asks for.
struct ModelChoice {
  std::string name;                        // by the pool
  std::optional<TimePoint> deadline = {};  // of the request, the wait for the model included
  std::string asked = {};                  // the name as the client wrote it, where that is told
  std::shared_ptr<const ollama::DerivedModel> derived = {};  // made of the model; null: itself
};

/// A request whose body is a JSON object and whose model is loaded. Movable.
struct ApiRequest {
  const Context& context;
  const ApiFormat& format;
  std::shared_ptr<Exchange> exchange;
  boost::json::object body;
  ModelChoice choice;
  RequestTimes times;
  service::ModelLease model;

  void respond(Response response) const { exchange->respond(std::move(response)); }
  void respond(const Error& error) const { respond(format.error(error, exchange->request())); }
  void respond(const FieldError& error) const {
    respond(format.field_error(error, exchange->request()));
  }
  /// Gives the model to a generation of what `reader` has read. Returns: null, if a field is wrong
  /// or the generation is refused; the client has been told.
  std::unique_ptr<service::Generation> generate(const FieldReader& reader,
                                                service::Request request);
};

struct ModelRoute {
  const ApiFormat& format;
  /// Returns the model that a body asks for; nothing, if a field is wrong, as the reader tells, or
  /// if it has responded itself.
  std::function<std::optional<ModelChoice>(Exchange& exchange, FieldReader& body)> choose;
  /// Responds, at once or by a ResponseStream.
  std::function<void(ApiRequest request)> serve;
};

/// Returns a handler that reads the body, waits for the model and serves the request; or answers
/// with what stands against that. No thread waits meanwhile; a client that asked for a stream of
/// events hears that the server lives, and one that leaves is forgotten. Requires: `context`
/// outlives all exchanges.
Handler make_handler(const Context& context, ModelRoute route);

}  // namespace pippin::api
