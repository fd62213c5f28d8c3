// One call by axios. Arguments: URL, token.
const axios = require('axios');

axios.get(process.argv[2], { headers: { Authorization: `Bearer ${process.argv[3]}` } })
  .then((answer) => console.log(answer.status))
  .catch((error) => { console.error(String(error)); process.exitCode = 1; });
