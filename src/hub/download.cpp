#include "hub/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "hub/files.h"
#include "hub/partial_file.h"
#include "hub/range_fetch.h"

namespace pippin::hub {

HttpRequest Link::request() const {
  const std::lock_guard lock(mutex_);
  HttpRequest request;
  request.url = led_to_.empty() ? url_ : led_to_;
  if (led_to_.empty() || led_home_) request.bearer = bearer_;
  return request;
}

void Link::led_to(const std::string& url) {
  const Result<std::string> home = origin_of(url_), there = origin_of(url);
  const std::lock_guard lock(mutex_);
  if (url == url_) return;
  led_to_ = url;
  led_home_ = home.ok() && there.ok() && *home == *there;
}

bool Link::forget(const std::string& url) {
  const std::lock_guard lock(mutex_);
  if (url == url_) return false;
  if (url == led_to_) led_to_.clear();
  return true;
}

namespace {

Error too_long(const Remote& remote) {
  return fail(Code::kInvalidFile,
              fmt::format("[hub] {}: expected {} bytes, but the server sends more", remote.item,
                          remote.bytes),
              remote.item);
}

/// The whole file in one answer, for servers that know no ranges: what is there already is passed
/// over.
Result<void> fetch_whole(Session& session, const Remote& remote, Link& link, PartialFile& file) {
  HttpClient client(session.http());
  RetryPolicy retries(session, remote.item);
  while (file.written() < remote.bytes) {
    uint64_t at = 0;
    Result<void> outcome;
    HttpRequest request = link.request();
    request.sink = [&](const HttpResponse&, std::string_view piece) {
      const uint64_t known =
          std::min<uint64_t>(piece.size(), file.written() - std::min(at, file.written()));
      at += piece.size();
      if (at > remote.bytes) {
        outcome = too_long(remote);
        return false;
      }
      if (piece.size() > known) {
        outcome = file.append(piece.substr(known));
        retries.reset();
        session.report(PullStage::kDownload, remote.item, file.written(), remote.bytes);
      }
      return outcome.ok();
    };
    Result<HttpResponse> answer = client.follow(request);
    RETURN_IF_ERROR(outcome);
    RETURN_IF_ERROR(after_answer(remote, link, retries, answer, file.written() == remote.bytes));
  }
  return {};
}

/// One way through: the ranges, or the whole, and the hash.
Result<void> fetch_and_commit(Session& session, const Remote& remote, PartialFile& file) {
  Link link(remote.url, remote.bearer);
  session.report(PullStage::kDownload, remote.item, file.written(), remote.bytes);
  ASSIGN_OR_RETURN(const bool ranged, fetch_ranges(session, remote, link, file));
  if (!ranged) RETURN_IF_ERROR(fetch_whole(session, remote, link, file));
  return file.commit();
}

}  // namespace

Result<void> after_answer(const Remote& remote, Link& link, RetryPolicy& retries,
                          const Result<HttpResponse>& answer, bool complete) {
  if (!answer.ok()) {
    if (complete) return {};
    if (!is_transient(answer.error())) return answer.error();
    return retries.after(answer.error());
  }
  const int status = answer->status;
  if (answer->ok()) {
    link.led_to(answer->url);
    if (complete) return {};
    return retries.after(
        fail(Code::kUnavailable,
             fmt::format("[hub] {}: the server ends before the file does", remote.item)));
  }
  if (status == 416)
    return fail(Code::kInvalidFile,
                fmt::format("[hub] {}: expected {} bytes, but the server has fewer", remote.item,
                            remote.bytes));
  const Error refused = remote.refusal(*answer);
  if (is_transient(status)) return retries.after(*answer, refused);
  // Links to storage expire; the address that gave them gives another.
  if (link.forget(answer->url)) return retries.at_once(refused);
  return refused;
}

Result<void> download(Session& session, const Remote& remote, const Destination& destination) {
  const auto is_there = [&] {
    return is_regular(destination.path) && bytes_of(destination.path) == remote.bytes;
  };
  if (is_there()) return {};
  ASSIGN_OR_RETURN([[maybe_unused]] const FileLock lock,
                   FileLock::take(destination.lock, session.cancel(), [&] {
                     session.report(PullStage::kWait, remote.item, 0, remote.bytes,
                                    "another process fetches this file");
                   }));
  if (is_there()) return {};
  ASSIGN_OR_RETURN(PartialFile file, PartialFile::open(session, remote, destination));
  const bool resumed = file.resumed() > 0;
  Result<void> done = fetch_and_commit(session, remote, file);
  if (done.ok() || done.error().code != Code::kInvalidFile || !resumed) return done;
  // What was left here before may be what is wrong: once more from the start.
  ASSIGN_OR_RETURN(file, PartialFile::open(session, remote, destination));
  RETURN_IF_ERROR(file.restart());
  return fetch_and_commit(session, remote, file);
}

Result<std::string> fetch_head(Session& session, const Remote& remote, uint64_t bytes) {
  const uint64_t wanted = std::min(bytes, remote.bytes);
  HttpClient client(session.http());
  RetryPolicy retries(session, remote.item);
  Link link(remote.url, remote.bearer);
  std::string head;
  for (bool ranged = true;;) {
    HttpRequest request = link.request();
    const uint64_t before = head.size();
    if (ranged && wanted > 0) request.range = ByteRange{before, wanted - 1};
    uint64_t passed_over = 0;  // of an answer that begins at the file's beginning
    request.sink = [&](const HttpResponse& answer, std::string_view piece) {
      if (answer.status == 206 && request.range) {
        if (!covers(answer, *request.range, remote.bytes)) ranged = false;
        if (!ranged) return false;
      } else {
        const uint64_t skipped = std::min<uint64_t>(piece.size(), before - passed_over);
        passed_over += skipped;
        piece.remove_prefix(skipped);
      }
      head += piece.substr(0, wanted - head.size());
      return head.size() < wanted;
    };
    const Result<HttpResponse> answer = client.follow(request);
    const bool complete = head.size() == wanted && (!answer.ok() || answer->ok());
    if (head.size() > before) retries.reset();
    RETURN_IF_ERROR(after_answer(remote, link, retries, answer, complete));
    if (complete) return head;
  }
}

}  // namespace pippin::hub
