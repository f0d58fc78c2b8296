#include "hub/range_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <map>
#include <memory>
#include <vector>

#include "base/guarded.h"
#include "base/thread.h"

namespace pippin::hub {
namespace {

constexpr uint64_t kChunkBytesMin = 256 << 10, kChunkBytesMax = 8 << 20;
constexpr uint64_t kChunksPerFile = 64;
constexpr int kConnectionsMax = 16;

/// One range. Bytes wait in `pending` until all before them are written.
struct Chunk {
  ByteRange range;
  uint64_t received = 0;
  std::string pending;
  bool complete() const { return received == range.bytes(); }
  ByteRange rest() const { return {range.first + received, range.last}; }
};

class RangeFetch {
 public:
  RangeFetch(Session& session, const Remote& remote, Link& link, PartialFile& file)
      : session_(session),
        remote_(remote),
        link_(link),
        file_(file),
        connections_(std::clamp(session.options().connections, 1, kConnectionsMax)),
        chunk_bytes_(std::clamp(remote.bytes / kChunksPerFile, kChunkBytesMin, kChunkBytesMax)),
        window_bytes_(chunk_bytes_ * static_cast<uint64_t>(connections_ + 2)),
        next_(file.written()),
        received_(file.written()) {}

  Result<bool> run();

 private:
  void work();
  void work_guarded();
  std::shared_ptr<Chunk> claim();
  Result<void> fetch(HttpClient& client, Chunk& chunk);
  bool take(const HttpResponse& answer, std::string_view piece, const ByteRange& asked,
            Chunk& chunk);
  void write_front();
  void end(Error error);
  void end_without_ranges();
  bool ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

  Session& session_;
  const Remote& remote_;
  Link& link_;
  PartialFile& file_;
  const int connections_;
  const uint64_t chunk_bytes_;
  const uint64_t window_bytes_;  // how far claims may run ahead of what is written

  std::mutex mutex_;  // of all below, and of file_
  std::condition_variable moved_;
  std::map<uint64_t, std::shared_ptr<Chunk>> open_;  // by first byte: claimed, not all written
  uint64_t next_;                                    // first byte that is not claimed
  uint64_t received_;
  bool ended_ = false, no_ranges_ = false;
  std::optional<Error> error_;
};

Result<bool> RangeFetch::run() {
  const uint64_t rest = remote_.bytes - file_.written();
  const uint64_t chunks = (rest + chunk_bytes_ - 1) / chunk_bytes_;
  std::vector<Thread> threads;
  for (uint64_t i = 1; i < std::min<uint64_t>(chunks, static_cast<uint64_t>(connections_)); ++i) {
    Result<Thread> thread = Thread::start("[hub]", [this] { work_guarded(); });
    if (!thread.ok()) break;  // fewer connections do as well
    threads.push_back(*std::move(thread));
  }
  work_guarded();
  for (Thread& thread : threads) thread.join();
  if (error_) return *error_;
  return !no_ranges_;
}

std::shared_ptr<Chunk> RangeFetch::claim() {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [this] {
    return ended_ || next_ == remote_.bytes || next_ - file_.written() < window_bytes_;
  });
  if (ended_ || next_ == remote_.bytes) return nullptr;
  auto chunk = std::make_shared<Chunk>();
  chunk->range = {next_, std::min(remote_.bytes, next_ + chunk_bytes_) - 1};
  open_.emplace(next_, chunk);
  next_ = chunk->range.last + 1;
  return chunk;
}

/// A thread that failed ends the fetch: nobody else would fill its chunk.
void RangeFetch::work_guarded() {
  if (const Result<void> done = guarded("[hub]", [this] { work(); }); !done.ok()) end(done.error());
}

void RangeFetch::work() {
  HttpOptions options = session_.http();
  options.stopped = [this] { return ended(); };
  HttpClient client(std::move(options));
  while (const std::shared_ptr<Chunk> chunk = claim()) {
    const Result<void> fetched = fetch(client, *chunk);
    if (!fetched.ok()) end(fetched.error());
  }
}

Result<void> RangeFetch::fetch(HttpClient& client, Chunk& chunk) {
  RetryPolicy retries(session_, remote_.item);
  while (!chunk.complete()) {
    HttpRequest request = link_.request();
    const ByteRange asked = chunk.rest();
    request.range = asked;
    request.sink = [&](const HttpResponse& answer, std::string_view piece) {
      return take(answer, piece, asked, chunk);
    };
    const Result<HttpResponse> answer = client.follow(request);
    if (ended()) return {};
    if (chunk.received > asked.first - chunk.range.first) retries.reset();
    RETURN_IF_ERROR(after_answer(remote_, link_, retries, answer, chunk.complete()));
  }
  return {};
}

bool RangeFetch::take(const HttpResponse& answer, std::string_view piece, const ByteRange& asked,
                      Chunk& chunk) {
  const bool in_range = answer.status == 206 && covers(answer, asked, remote_.bytes) &&
                        piece.size() <= chunk.rest().bytes() && !chunk.complete();
  if (!in_range) {
    end_without_ranges();
    return false;
  }
  uint64_t received = 0;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    chunk.pending += piece;
    chunk.received += piece.size();
    received = received_ += piece.size();
    write_front();
    if (ended_) return false;
  }
  session_.report(PullStage::kDownload, remote_.item, received, remote_.bytes);
  return true;
}

/// Writes what continues the file. Requires: the mutex is held.
void RangeFetch::write_front() {
  while (!open_.empty()) {
    Chunk& front = *open_.begin()->second;
    if (!front.pending.empty()) {
      const Result<void> written = file_.append(front.pending);
      if (!written.ok()) {
        error_ = written.error();
        ended_ = true;
        break;
      }
      front.pending.clear();
    }
    if (!front.complete()) break;
    open_.erase(open_.begin());
  }
  moved_.notify_all();
}

void RangeFetch::end(Error error) {
  const std::lock_guard lock(mutex_);
  if (!ended_) error_ = std::move(error);
  ended_ = true;
  moved_.notify_all();
}

void RangeFetch::end_without_ranges() {
  const std::lock_guard lock(mutex_);
  if (!ended_) no_ranges_ = true;
  ended_ = true;
  moved_.notify_all();
}

}  // namespace

Result<bool> fetch_ranges(Session& session, const Remote& remote, Link& link, PartialFile& file) {
  if (file.written() == remote.bytes) return true;
  return RangeFetch(session, remote, link, file).run();
}

bool covers(const HttpResponse& answer, const ByteRange& asked, uint64_t file_bytes) {
  std::string_view text = answer.header("content-range");
  if (!text.starts_with("bytes ")) return false;
  text.remove_prefix(6);
  const auto number = [&text](char end, uint64_t& value) {
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto length = static_cast<size_t>(read.ptr - text.data());
    if (read.ec != std::errc() ||
        (end != '\0' ? length == text.size() || text[length] != end : length != text.size()))
      return false;
    text.remove_prefix(std::min(text.size(), length + 1));
    return true;
  };
  uint64_t first = 0, last = 0, all = 0;
  if (!number('-', first) || !number('/', last)) return false;
  if (first != asked.first || last < first || last > asked.last) return false;
  return text == "*" || (number('\0', all) && all == file_bytes);
}

}  // namespace pippin::hub
