// The window in which a person signed in to GitLab: hands the code to the page that opened it, if that page is ours, and
// shows it for entering by hand otherwise.

const { signIn, code, opener } = document.body.dataset;

// A message to another origin than the one named is not delivered, so the code reaches no page but ours.
if (signIn && opener && window.opener) {
  addEventListener("message", (event) => {
    if (event.origin !== opener || event.source !== window.opener) return;
    if (event.data?.type !== "gitlab-sign-in-taken" || event.data.signIn !== signIn) return;
    document.getElementById("by-hand").hidden = true;
    document.getElementById("done").hidden = false;
    close();
  });
  window.opener.postMessage({ type: "gitlab-sign-in", signIn, code }, opener);
}
