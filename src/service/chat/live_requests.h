// LiveRequests: the requests that are being answered now, by the names under which a client or an
// operator knows them: for GET /v1/status, and to cancel one. Owner: the APIs' context. Thread:
// any.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "service/chat/generation.h"

namespace pippin::service {

/// Returns whether a caller may know of a generation, and end it: its own; an administrator any.
bool may_see(const RequestContext* caller, const Generation& generation);

class LiveRequests {
  struct Listed;
  struct State;

 public:
  struct Entry {
    std::string id;         // x-request-id; not necessarily unique, as clients choose it
    std::string answer_id;  // the answer's own id ("chatcmpl-..."); empty where the API has none
    TimePoint began{};
    bool cancelled = false;  // by cancel(); it ends within a step
    std::shared_ptr<Generation> generation;
  };

  /// Keeps a request listed while it lives. May outlive the LiveRequests. Movable. Thread: one at a
  /// time.
  class Listing {
   public:
    Listing() = default;
    Listing(Listing&&) noexcept = default;
    Listing& operator=(Listing&& other) noexcept;
    ~Listing();

   private:
    friend class LiveRequests;
    std::shared_ptr<State> state_;
    std::list<Listed>::iterator place_;
  };

  LiveRequests();

  /// Lists a request; the generation is not owned.
  [[nodiscard]] Listing add(std::string id, std::string answer_id,
                            std::weak_ptr<Generation> generation);
  /// Asks for the end of every request of this caller, or of anybody's if null, that goes by this
  /// id. Returns: how many they are; those cancelled before do not count.
  int cancel(std::string_view id, const RequestContext* caller);
  /// Returns the sequences of the requests that a caller may know of.
  std::vector<engine::SequenceId> sequences_of(const RequestContext* caller) const;
  /// Returns all requests that still have their generation, the oldest first.
  std::vector<Entry> list() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace pippin::service
