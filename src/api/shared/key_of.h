// key_of: whose a request is, and what it makes. Thread: any.
#pragma once

#include <string>

#include "api/exchange.h"

namespace pippin::api {

/// Returns the id of the key that came with a request; "" where none is asked for.
inline std::string key_of(const Exchange& exchange) {
  const std::shared_ptr<RequestContext>& caller = exchange.request().caller;
  return caller != nullptr ? caller->key_id() : std::string();
}

}  // namespace pippin::api
