// Clients: variables and flags by which agents and chats find a local server. Pure. Thread: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace pippin::app {

/// What a client has to know of the server.
struct ServerAddress {
  std::string url;         // "http://127.0.0.1:8000", without a path
  std::string model;       // its id
  std::string key;         // what to send as the API key; clients refuse an empty one
  int context_tokens = 0;  // 0 = not known
  std::string cacert;      // PEM file of certificates that the client must trust; empty: none
};

/// How a client is started.
struct ClientSetup {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> variables;
  std::string install;  // the command that installs it

  /// Returns lines for a shell: the variables, then the command.
  std::string to_text() const;
};

/// Returns the names that setup_client() knows, as people type them.
std::span<const std::string_view> client_names();

/// Source: each client's own manual; docs/clients.md names the pages' facts. Errors:
/// kInvalidArgument, naming those that are known.
Result<ClientSetup> setup_client(std::string_view client, const ServerAddress& server);

}  // namespace pippin::app
