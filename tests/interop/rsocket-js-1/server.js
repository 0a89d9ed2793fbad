'use strict';
// Serves `doomed` and answers nothing, until it is killed. Usage: node server.js URL
const { connect } = require('./client');

const taken = () => {
  process.stdout.write('called\n');
  return { cancel() {}, request() {}, onExtension() {}, onNext() {}, onComplete() {}, onError() {} };
};

connect(process.argv[2], { requestResponse: taken, requestStream: taken, requestChannel: taken }, 'doomed')
  .then(() => process.stdout.write('serving\n'))
  .catch((e) => {
    process.stderr.write(`${e}\n`);
    process.exit(1);
  });
