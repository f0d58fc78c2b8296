// with_model: goes on with a request once the model that it names is loaded. Meanwhile no thread
// waits, and a client that asked for a stream of events hears that the server lives. Thread: the
// worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/context.h"
#include "api/exchange.h"
#include "service/model_pool.h"

namespace pippin::api {

/// How a wire speaks to a client whose model is not loaded yet.
struct WaitForm {
  std::function<Response(const Error&)> error;
  bool events = false;    // the client asked for a stream of events
  std::string ping = {};  // an event that says nothing; empty: a comment that tells the progress
  std::string error_head = "data: ";  // what stands before an error's body in such a stream
  std::optional<TimePoint> deadline = {};
};

/// Whether a body says "stream": true.
bool asks_for_stream(const boost::json::object& body);

using WithModel = std::function<void(std::shared_ptr<Exchange>, service::ModelLease)>;

/// Calls `then` with the model, at once if it is loaded; or answers with what stands against it. A
/// client that leaves before is forgotten. The exchange that `then` gets may have begun its stream:
/// it takes a second head as said, and sends an answer as the stream's last event.
void with_model(const Context& context, std::shared_ptr<Exchange> exchange, std::string_view name,
                WaitForm form, WithModel then);

}  // namespace pippin::api
